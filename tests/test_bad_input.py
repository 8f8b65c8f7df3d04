"""What a learner can get wrong: one clear sentence with its remedy, and nothing lost.

Bad words, question files and folders of the commands: test_asking. Damaged index files, k and
empty questions in Python: test_retrieval. Profiles: test_commandline. Here is what lies between.
"""

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from utils import asking, profiles
from utils import index as stored
from utils.__main__ import main
from utils.assistant import system
from utils.chunking import by_sentence
from utils.documents import CourseError, Document
from utils.embedding import embed
from utils.loading import load_generator
from utils.profiles import PROFILES
from utils.prompts import grounded

POOL = Document("pool", "Pool rules", "The pool opens at 7:30. Bathing caps are required.")
GYM = Document("gym", "Gym", "Towels are required on every machine.")
LONG = "why does the pool open so early " * 320


@pytest.fixture(autouse=True)
def _already_set_up(monkeypatch, tmp_path):
    monkeypatch.setattr("utils.environment.ensure", lambda: None)
    monkeypatch.setattr(asking, "ROOT", tmp_path)
    for name in ("COURSE_PROFILE", "COURSE_GENERATOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def folder(tmp_path):
    """A folder with a single short document."""
    made = tmp_path / "docs"
    made.mkdir()
    (made / "pool.md").write_text("# Pool\n\nThe pool opens at 7:30.\n", encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def generator():
    return load_generator(PROFILES["embedded"])


def ask(question: str, folder: Path, *words: str) -> int:
    return main(["ask", question, "--docs", str(folder), "--system", "extractive", *words])


def refused(capsys) -> str:
    """What the command said when it refused: one line, and no traceback."""
    told = capsys.readouterr().err.strip()
    assert len(told.splitlines()) == 1 and "Traceback" not in told
    return told


# ---------------------------------------------------------------- documents


def test_no_documents_lose_no_index(tmp_path):
    path = tmp_path / "a.npz"
    stored.open_index([POOL], path, by_sentence)
    before = path.read_bytes()
    with pytest.raises(CourseError, match="no text to index. Check what the folder contains"):
        stored.open_index([], path, by_sentence)
    assert path.read_bytes() == before


def test_no_documents_are_no_assistant():
    with pytest.raises(CourseError, match="no text to index"):
        system("extractive", [])


def test_an_emptied_folder_is_told_and_keeps_its_index(folder, tmp_path, capsys):
    assert ask("when does the pool open", folder) == 0
    index = next((tmp_path / "build" / "indexes").glob("*.npz"))
    before = index.read_bytes()
    (folder / "pool.md").unlink()
    capsys.readouterr()
    assert ask("when does the pool open", folder) == 2
    assert "No readable document" in refused(capsys)
    assert index.read_bytes() == before


def test_one_document_with_one_sentence_is_enough(folder, tmp_path, capsys):
    assert ask("when does the pool open", folder, "--trace") == 0
    assert "7:30" in capsys.readouterr().out
    questions = tmp_path / "q.jsonl"
    questions.write_text('{"question": "When does the pool open?", "answers": ["7:30"]}\n',
                         encoding="utf-8")
    assert main(["exam", "--docs", str(folder), "--questions", str(questions), "--system",
                 "extractive"]) == 0
    assert "1 questions over 1 documents" in capsys.readouterr().out


def test_two_documents_of_one_id_are_refused_in_python(tmp_path):
    twin = Document("pool", "Pool rules", "The pool opens at 9:15.")
    with pytest.raises(CourseError, match="Two documents have the id 'pool'.*another id"):
        stored.build([POOL, twin], by_sentence)
    index = stored.build([POOL], by_sentence)
    with pytest.raises(CourseError, match="Two documents have the id 'pool'"):
        stored.update(index, [POOL, GYM, twin], by_sentence)


def test_two_files_of_one_id_are_told_and_the_first_is_kept(folder, capsys):
    for name, hour in (("a", "7:30"), ("b", "9:15")):
        (folder / f"{name}.md").write_text(f"---\nid: hours\n---\nThe gym opens at {hour}.\n",
                                           encoding="utf-8")
    assert ask("when does the gym open", folder) == 0
    captured = capsys.readouterr()
    assert "7:30" in captured.out and "9:15" not in captured.out
    assert "b.md" in captured.err and "'hours'" in captured.err and "another id" in captured.err


def test_the_same_text_in_two_files_is_answered(folder, capsys):
    shutil.copy(folder / "pool.md", folder / "pool-copy.md")
    assert ask("when does the pool open", folder) == 0
    assert "7:30" in capsys.readouterr().out


def test_chunks_that_the_embedder_would_cut_are_told_by_both_commands(folder, tmp_path, capsys):
    (folder / "log.txt").write_text("pump and filter checked, " * 200, encoding="utf-8")
    questions = tmp_path / "q.jsonl"
    questions.write_text('{"question": "When does the pool open?", "answers": ["7:30"]}\n',
                         encoding="utf-8")
    exam = ["exam", "--docs", str(folder), "--questions", str(questions), "--system", "extractive"]
    for command in (lambda: ask("when does the pool open", folder), lambda: main(exam)):
        assert command() == 0
        captured = capsys.readouterr()
        assert "7:30" in captured.out or "facts" in captured.out
        note = captured.err.strip()
        assert note.startswith("Note: 1 of 2 chunks") and "are not searched" in note
        assert "Log" in note and len(note.splitlines()) == 1


# ---------------------------------------------------------------- questions


def test_a_question_of_10_000_characters_is_cut_told_and_answered(folder, capsys):
    assert len(LONG) > 10_000 and ask(LONG, folder) == 0
    captured = capsys.readouterr()
    assert "7:30" in captured.out
    assert captured.err.startswith("Note: The question has 10,2") and "2,000" in captured.err
    assert ".py" not in captured.err and len(captured.err.strip().splitlines()) == 1


def test_a_prompt_longer_than_the_model_reads_is_cut_at_its_end_and_told(generator):
    messages = grounded(LONG, by_sentence(POOL))
    with pytest.warns(UserWarning, match="tokens and the model reads 1,408: the end of its last"):
        prompt = generator._fitted(messages, 128)
    short = generator.prompt(grounded("why?", by_sentence(POOL)))
    assert prompt.endswith(short[-12:]) and prompt.startswith(short[:20])  # the turn still opens
    assert 1300 < len(generator._ids(prompt)) <= 1408
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert generator._fitted(grounded("why?", by_sentence(POOL)), 128) == short


def test_a_prompt_without_room_for_the_question_is_refused(generator):
    examples = [{"role": "user", "content": LONG}, {"role": "assistant", "content": "so"}]
    with pytest.raises(CourseError, match="Show it fewer or shorter examples"):
        generator.reply([*examples, {"role": "user", "content": "why?"}])


@pytest.mark.parametrize("question", ["Wann öffnet das Bad?", "何時に開きますか", "?!", "🏊"])
def test_another_language_and_no_words_at_all_are_answered(question, folder, capsys):
    assert ask(question, folder) == 0
    captured = capsys.readouterr()
    assert captured.out.strip() and "Traceback" not in captured.err


# ---------------------------------------------------------------- the index


def test_another_embedders_index_is_refused_by_the_command_and_kept(folder, tmp_path, capsys):
    assert ask("when does the pool open", folder) == 0
    path = next((tmp_path / "build" / "indexes").glob("*.npz"))
    stored.save(replace(stored.load(path), embedder="bert-384-00000000"), path)
    before = path.read_bytes()
    capsys.readouterr()
    assert ask("when does the pool open", folder) == 2
    told = refused(capsys)
    assert str(path) in told and "bert-384-00000000" in told and "Delete it" in told
    assert path.read_bytes() == before


def _without(path: Path, key: str) -> None:
    with np.load(path) as whole:
        vectors, about = whole["vectors"], json.loads(whole["about"].tobytes())
    del about[key]
    with path.open("wb") as file:
        np.savez(file, vectors=vectors, about=np.frombuffer(json.dumps(about).encode(), "uint8"))


@pytest.mark.parametrize("damage", [
    lambda path: path.write_bytes(path.read_bytes()[:-200]),
    lambda path: path.write_bytes(path.read_bytes()[:700] + b"\xff" * 40 + path.read_bytes()[740:]),
    lambda path: _without(path, "embedder"),
    lambda path: _without(path, "checksums"),
], ids=["cut short", "bytes turned", "no embedder", "no checksums"])
def test_an_index_damaged_anywhere_is_named(damage, tmp_path):
    path = stored.save(stored.build([POOL, GYM], by_sentence), tmp_path / "a.npz")
    damage(path)
    with pytest.raises(CourseError, match=r"a\.npz is damaged. Delete it; it is built again"):
        stored.load(path)


def test_an_index_that_cannot_be_written_is_told_and_the_old_one_stays(tmp_path, monkeypatch):
    path = stored.save(stored.build([POOL], by_sentence), tmp_path / "a.npz")
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(CourseError, match=r"a\.npz cannot be written \(No space left on device\)"):
        stored.save(stored.build([POOL, GYM], by_sentence), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_more_is_wanted_than_there_is():
    index = stored.build([POOL], by_sentence)
    scores, numbers = index.search(embed(["pool"]), 500)
    assert scores.shape == numbers.shape == (1, 2) and (numbers >= 0).all()


# ---------------------------------------------------------------- models and profiles


def test_a_missing_model_folder_is_told_by_the_command(folder, tmp_path, monkeypatch, capsys):
    gone = replace(PROFILES["embedded"], generator=str(tmp_path / "pocket_model"))
    monkeypatch.setitem(profiles.PROFILES, "embedded", gone)
    assert main(["ask", "why?", "--docs", str(folder)]) == 2
    told = refused(capsys)
    assert str(tmp_path / "pocket_model") in told and "git checkout data/pocket_model" in told
    with pytest.raises(CourseError, match="The model folder .* is missing. Restore it"):
        load_generator(gone)


def test_a_model_folder_without_weights_is_told_before_anything_is_loaded(tmp_path, monkeypatch):
    copy = tmp_path / "model"
    shutil.copytree(profiles.POCKET_MODEL, copy)
    own = replace(PROFILES["embedded"], generator=str(copy))
    assert own.why_not() is None
    (copy / "model.safetensors").unlink()
    assert "git checkout data/pocket_model" in own.why_not()
    monkeypatch.setenv("COURSE_GENERATOR", str(copy))
    assert f"{copy} holds no model" in own.why_not() and "COURSE_GENERATOR" in own.why_not()


def test_a_search_without_its_adapters_is_told(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(profiles, "ROOT", tmp_path)
    monkeypatch.setattr(profiles, "OFFLINE_RERANKER", tmp_path / "data" / "reranker")
    told = PROFILES["embedded"].why_not()
    assert "data" in told and "git checkout" in told and "reranker" in told


@pytest.mark.parametrize("file, content", [
    ("model.safetensors", "version https://git-lfs.github.com/spec/v1\n"),
    ("model.safetensors", None), ("tokenizer.json", '{"version": "1.'), ("config.json", "{")])
def test_a_damaged_model_folder_is_told(file, content, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(profiles.POCKET_MODEL, copy)
    (copy / file).unlink()
    if content:
        (copy / file).write_text(content, encoding="utf-8")
    with pytest.raises(CourseError, match=r"model is damaged or incomplete: .*Copy it anew"):
        load_generator(replace(PROFILES["embedded"], generator=str(copy)))


def test_a_model_that_is_not_for_chat_is_told(tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(profiles.POCKET_MODEL, copy)
    (copy / "chat_template.jinja").unlink()
    with pytest.raises(CourseError, match="no chat template.*Choose one trained for chat"):
        load_generator(replace(PROFILES["embedded"], generator=str(copy)))


def test_a_missing_reranker_is_told_by_the_command(folder, tmp_path, monkeypatch, capsys):
    from utils import reranking

    monkeypatch.setattr(reranking, "OFFLINE_RERANKER", tmp_path / "reranker")
    reranking.load_reranker.cache_clear()
    assert ask("why?", folder) == 2
    told = refused(capsys)
    assert str(tmp_path / "reranker") in told and "git checkout data/reranker" in told


@pytest.mark.parametrize("offline", [True, False])
def test_a_profile_that_needs_the_network_is_told_by_the_command(offline, folder, monkeypatch,
                                                                 capsys):
    monkeypatch.setenv("COURSE_PROFILE", "cpu")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1" if offline else "0")
    monkeypatch.setattr(profiles, "_stored", lambda model: False)
    monkeypatch.setattr(profiles, "_hub_answers", lambda: False)
    assert ask("why?", folder) == 2
    told = refused(capsys)
    assert "'cpu' cannot be used here" in told and "COURSE_PROFILE=embedded" in told
