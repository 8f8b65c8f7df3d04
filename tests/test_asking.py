"""`ask` and `exam` over folders nobody here has seen, and what they say to bad input."""

import json
import warnings
from pathlib import Path

import pytest

from utils import asking
from utils.__main__ import main
from utils.documents import CourseError
from utils.exam import Sitting, load_questions

FOLDERS = Path(__file__).parent / "folders"
QUESTIONS = FOLDERS / "apiary" / "questions.jsonl"


@pytest.fixture(autouse=True)
def _already_set_up(monkeypatch, tmp_path):
    """The commands run in this environment, and keep their indexes out of the way."""
    monkeypatch.setattr("utils.environment.ensure", lambda: None)
    monkeypatch.setattr(asking, "ROOT", tmp_path)


def run(*words: str) -> int:
    return main([str(w) for w in words])


def test_exam_over_a_folder_prints_and_writes_what_the_readme_says(tmp_path, capsys):
    out = tmp_path / "deep" / "result.json"
    code = run("exam", "--docs", FOLDERS / "apiary" / "docs", "--questions", QUESTIONS, "--system",
               "extractive", "--json", out)
    assert code == 0
    printed = capsys.readouterr().out
    for word in ("facts", "cites", "95 % interval", "by kind"):
        assert word in printed
    result = json.loads(out.read_text(encoding="utf-8"))
    assert set(result["metrics"]["facts"]) == {"value", "low", "high", "n"}
    assert 0.2 < result["metrics"]["facts"]["value"] < 0.9
    assert len(result["questions"]) == len(load_questions(QUESTIONS))
    fields = {"id", "question", "answer", "retrieved", "cited", "grades", "ms"}
    assert all(fields <= set(q) for q in result["questions"])


def test_an_exam_by_the_wrong_company_is_failed(tmp_path, capsys):
    out = tmp_path / "wrong.json"
    assert run("exam", "--docs", FOLDERS / "huts" / "docs", "--questions", QUESTIONS, "--system",
               "extractive", "--json", out) == 0
    assert "no documents of this folder" in capsys.readouterr().err
    assert json.loads(out.read_text())["metrics"]["facts"]["value"] < 0.15


def test_ask_answers_with_a_source(capsys):
    assert run("ask", "When do the lights go out?", "--docs", FOLDERS / "huts" / "docs",
               "--system", "extractive") == 0
    printed = capsys.readouterr().out
    assert "22.00" in printed and "hut-rules" in printed


def test_two_questions_are_answered_apart_with_a_trace_and_without(tmp_path, capsys):
    for name, text in (("cafe", "Soup of the day costs EUR 6. Dogs are welcome."),
                       ("pool", "The pool opens at 7:30. It closes at dusk.")):
        (tmp_path / f"{name}.md").write_text(f"# The {name}\n\n{text}\n", encoding="utf-8")
    both = ("ask", "What does the soup of the day cost, and when does the pool open?", "--docs",
            tmp_path, "--system", "rag")
    assert run(*both) == 0
    told = capsys.readouterr().out.splitlines()[0]
    assert "EUR 6" in told and "7:30" in told
    assert run(*both, "--trace") == 0
    assert f"Answer    {told}\n" in capsys.readouterr().out


def test_the_trace_shows_what_was_found(capsys):
    assert run("ask", "When do the lights go out?", "--docs", FOLDERS / "huts" / "docs",
               "--system", "extractive", "--trace") == 0
    printed = capsys.readouterr().out
    for word in ("Question", "score", "rank", "Cites", "Time"):
        assert word in printed


def test_minimal_questions_need_neither_quote_nor_route(tmp_path, capsys):
    path = tmp_path / "q.jsonl"
    path.write_text('{"id": "a", "question": "When do the lights go out?", "answers": ["22.00"]}\n'
                    '{"id": "b", "question": "Do you rent skis?", "answers": []}\n', "utf-8")
    assert run("exam", "--docs", FOLDERS / "huts" / "docs", "--questions", path, "--system",
               "extractive") == 0
    assert "facts" in capsys.readouterr().out


BAD_LINES = {
    "no json": ("{oops", "line 1: this is no JSON"),
    "no answers": ('{"id": "a", "question": "x"}', "'answers' is missing"),
    "no question": ('{"id": "a", "answers": ["x"]}', "'question' is missing"),
    "twice": ('{"id": "a", "question": "x", "answers": ["y"]}\n' * 2, "line 2: the id 'a'"),
    "empty": ("", "holds no question"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_a_bad_question_file_is_one_sentence_and_exit_code_2(case, tmp_path, capsys):
    text, sentence = BAD_LINES[case]
    path = tmp_path / "q.jsonl"
    path.write_text(text, encoding="utf-8")
    assert run("exam", "--questions", path, "--system", "extractive") == 2
    told = capsys.readouterr().err
    assert sentence in told and str(path) in told and "Traceback" not in told
    assert len(told.strip().splitlines()) == 1


@pytest.mark.parametrize("words, sentence", [
    (("ask", "why?", "--docs", "nowhere"), "There is no folder nowhere"),
    (("ask", "   "), "The question is empty"),
    (("ask",), "required"),
    (("ask", "why?", "--system", "magic"), "magic"),
    (("exam", "--questions", "nowhere.jsonl"), "There is no question file"),
    (("exam",), "--questions"),
])
def test_bad_words_are_one_sentence_and_exit_code_2(words, sentence, capsys):
    assert run(*words) == 2
    told = capsys.readouterr().err
    assert sentence in told and "Traceback" not in told


def test_an_empty_folder_and_bad_files(tmp_path, capsys):
    assert run("ask", "why?", "--docs", tmp_path, "--system", "extractive") == 2
    assert "No readable document" in capsys.readouterr().err
    (tmp_path / "good.md").write_text("# Ferns\n\nFerns are watered on Tuesdays.\n", "utf-8")
    (tmp_path / "bad.md").write_bytes(b"\x00\x01\x02" * 400)
    (tmp_path / "old.txt").write_bytes("Café opens at 9.".encode("latin-1"))
    assert run("ask", "when are ferns watered", "--docs", tmp_path, "--system", "extractive") == 0
    captured = capsys.readouterr()
    assert "Tuesdays" in captured.out
    assert "bad.md" in captured.err and "old.txt" in captured.err


def test_the_index_follows_the_folder(tmp_path, capsys):
    folder = tmp_path / "docs"
    folder.mkdir()
    page = folder / "a.md"
    page.write_text("# Pool\n\nThe pool opens at 7:30.\n", encoding="utf-8")
    assert run("ask", "when does the pool open", "--docs", folder, "--system", "extractive") == 0
    assert "7:30" in capsys.readouterr().out
    page.write_text("# Pool\n\nThe pool opens at 9:15.\n", encoding="utf-8")
    assert run("ask", "when does the pool open", "--docs", folder, "--system", "extractive") == 0
    told = capsys.readouterr().out
    assert "9:15" in told and "7:30" not in told


def test_a_damaged_index_is_named(tmp_path, capsys):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.md").write_text("# Pool\n\nThe pool opens at 7:30.\n", encoding="utf-8")
    assert run("ask", "when", "--docs", folder, "--system", "extractive") == 0
    index = next((tmp_path / "build" / "indexes").glob("*.npz"))
    index.write_bytes(b"not an index")
    capsys.readouterr()
    assert run("ask", "when", "--docs", folder, "--system", "extractive") == 2
    told = capsys.readouterr().err
    assert str(index) in told and "Delete it" in told


def test_a_very_long_question_is_cut_and_said_so():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from utils.retrieval import checked

        assert len(checked("why " * 3000)) <= 2000
    assert "characters" in str(caught[0].message)


def test_an_unknown_system_is_named():
    from utils.assistant import system

    with pytest.raises(CourseError, match="no system 'magic'"):
        system("magic", [])


def test_where_the_answers_go_is_tried_before_the_exam(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(asking, "sit", lambda *_, **__: pytest.fail("it sat the exam first"))
    assert run("exam", "--docs", FOLDERS / "apiary" / "docs", "--questions", QUESTIONS, "--system",
               "extractive", "--json", tmp_path) == 2
    assert "is a folder. Name a file." in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == []


def test_a_disk_without_room_leaves_the_older_answers(tmp_path, monkeypatch):
    out = tmp_path / "old.json"
    out.write_text("last week's", encoding="utf-8")

    def full(self, *_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(CourseError, match="No space left"):
        asking._write(out, "this week's")
    monkeypatch.undo()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("old.json", "last week's")]


def test_a_kind_with_both_sorts_of_questions_names_both_figures():
    rows = [{"id": "a", "kind": "money", "grades": {"facts": 0.0}},
            {"id": "b", "kind": "money", "grades": {"abstains": 1.0}},
            {"id": "c", "kind": "other", "grades": {"facts": 1.0}}]
    lines = [line.split()[:3] for line in asking._report(Sitting("x", rows)).splitlines()]
    assert ["money", "facts", "0.00"] in lines and ["money", "abstains", "1.00"] in lines
    assert ["other", "facts", "1.00"] in lines
