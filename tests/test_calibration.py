"""The floor of a house's search: chosen on its own questions, kept beside its documents."""

import json
from dataclasses import replace

import numpy as np
import pytest

from utils import __main__ as command_line
from utils.calibration import FILE, Calibration, calibrate, floor_of, keep
from utils.chunking import by_sentence
from utils.documents import CourseError, Document, load_documents
from utils.exam import Question, exam
from utils.index import build
from utils.profiles import ROOT
from utils.remembering import Remembered
from utils.reranking import load_reranker
from utils.retrieval import NO_FLOOR, Retriever

KEPT = Calibration(0.5, "a reranker", 20, 0.95, 5, 0.6)


class Reader:
    """Scores a passage by the number its question carries."""

    none, name, margin = None, "a reranker", None

    def scores(self, questions, texts):
        return [np.full(len(group), float(q.split()[-1])) for q, group in zip(questions, texts,
                                                                              strict=True)]


@pytest.fixture(scope="module")
def retriever() -> Retriever:
    page = Document("pool", "Pool", "The pool opens at 7:30. Dogs wait outside. Towels cost EUR 2.")
    return Retriever(build([page], by_sentence), reranker=Reader(), k=2)


def asked(scores, answerable):
    return [Question(f"{answerable}-{s}", f"question {s}", (("x",),) if answerable else ())
            for s in scores]


def test_the_floor_keeps_the_wanted_share_and_no_more(retriever):
    questions = asked(range(100), True) + asked(range(-5, 15), False)
    found = calibrate(retriever, questions, answered=0.9)
    assert (found.floor, found.answered, found.refused) == (10, 0.9, 0.75)
    assert calibrate(retriever, questions, answered=1).floor == 0
    assert "0.90 still get passages" in str(found) and "0.75 get none" in str(found)


def test_below_the_floor_nothing_is_shown_and_above_it_nothing_changes(retriever):
    strict = Retriever(retriever.index, retriever.embedder, retriever.reranker, 2, floor=5)
    low, at, high = (f"towels {n}" for n in (4, 5, 6))
    assert strict.search(low) == []
    assert strict.search(at) == retriever.search(at) and strict.search(high)
    assert list(strict.certainty([low, high])) == [4, 6]
    assert strict.over(retriever.index).search(low) == []


def test_what_is_remembered_knows_no_floor_and_is_handed_out_above_it(retriever, tmp_path):
    strict = Retriever(retriever.index, retriever.embedder, retriever.reranker, 2, floor=5)
    low, high = "towels 4", "towels 6"
    for _ in range(2):  # searched, then read from the file
        memory = Remembered(strict, tmp_path / "hits.json")
        assert memory.search_many([low, high]) == [[], retriever.search(high)]
        assert memory.search_many([low], floor=0) == [retriever.search(low)]
        assert memory.search(low) == [] and memory.search(high, 1) == retriever.search(high, 1)


@pytest.mark.parametrize("answerable, unanswerable", [(19, 10), (30, 4), (0, 9)])
def test_too_few_questions_decide_nothing(retriever, answerable, unanswerable):
    with pytest.raises(CourseError, match="is the least"):
        calibrate(retriever, asked(range(answerable), True) + asked(range(unanswerable), False))


def test_without_a_reranker_there_is_no_score(retriever):
    with pytest.raises(CourseError, match="no reranker"):
        calibrate(Retriever(retriever.index, retriever.embedder), asked(range(30), True))


def test_it_is_kept_beside_the_documents_and_holds_for_its_reranker_alone(tmp_path):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "pool.md").write_text("The pool opens at 7:30.", encoding="utf-8")
    documents = load_documents(tmp_path)
    assert floor_of(documents, Reader()) == NO_FLOOR
    assert keep(KEPT, tmp_path) == tmp_path / FILE
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == [FILE]  # and nothing half-written
    assert floor_of(load_documents(tmp_path), Reader()) == 0.5
    other = Reader()
    other.name = "another"
    assert {floor_of(documents, other), floor_of(documents, None), floor_of([], Reader())} == {
        NO_FLOOR}
    (tmp_path / FILE).write_text('["of another program"]', encoding="utf-8")
    assert floor_of(documents, Reader()) == NO_FLOOR
    (tmp_path / FILE).write_text('{"floor": "hi', encoding="utf-8")
    with pytest.raises(CourseError, match="damaged"):
        floor_of(documents, Reader())


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(CourseError, match="cannot be written"):
        keep(KEPT, tmp_path / "gone")


def test_the_companys_own_was_chosen_on_dev_with_the_reranker_in_the_box():
    kept = json.loads((ROOT / "data" / "company" / FILE).read_text(encoding="utf-8"))
    count = sum(q.answerable for q in exam("dev"))
    assert (kept["answerable"], kept["unanswerable"]) == (count, len(exam("dev")) - count)
    assert kept["reranker"] == load_reranker().name
    assert floor_of(load_documents(ROOT / "data" / "company"), load_reranker()) == kept["floor"]


def test_the_command_says_what_it_chose_and_what_is_missing(tmp_path, capsys):
    (tmp_path / "pool.md").write_text("# Pool\n\nIt opens at 7:30.\n", encoding="utf-8")
    questions = tmp_path / "questions.jsonl"
    row = {"id": "a", "question": "When does it open?", "answers": ["7:30"], "source": "pool"}
    rows = [replace_id(row, n) for n in range(20)]
    rows += [replace_id({**row, "question": f"Who sells tractor {n}?", "answers": []}, f"u{n}")
             for n in range(5)]
    questions.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    words = ["calibrate", "--docs", str(tmp_path), "--questions", str(questions)]
    assert command_line.act(words[0], words[1:]) == 0
    assert "of 20 answerable" in capsys.readouterr().out
    assert (tmp_path / FILE).is_file()
    with pytest.raises(CourseError, match="--docs"):
        command_line.act("calibrate", [])


def replace_id(row: dict, name) -> dict:
    return {**row, "id": f"q-{name}"}


def test_the_sentence_tells_both_shares():
    assert str(replace(KEPT, floor=0.4868)).startswith("Below 0.487 nothing is shown")


def test_another_programs_file_is_neither_read_nor_overwritten(tmp_path):
    page = tmp_path / "docs" / "pool.md"
    page.parent.mkdir()
    page.write_text("The pool opens at 7:30.", encoding="utf-8")
    documents = load_documents(page.parent)
    for theirs in ('[{"title": "my site"}]', "no JSON at all", '{"pages": 3}'):
        for folder in (tmp_path, page.parent):
            (folder / FILE).write_text(theirs, encoding="utf-8")
        assert {floor_of(documents, Reader()), floor_of(documents, Reader(), page.parent)} == {
            NO_FLOOR}
        with pytest.raises(CourseError, match="was not written by the course"):
            keep(KEPT, page.parent)
        assert (page.parent / FILE).read_text(encoding="utf-8") == theirs


def test_a_named_folder_has_its_own_floor_or_none(tmp_path):
    deep = tmp_path / "house" / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (tmp_path / "elsewhere.md").write_text("The pool opens at 7:30.", encoding="utf-8")
    (deep / "pool.md").symlink_to(tmp_path / "elsewhere.md")
    keep(KEPT, tmp_path / "house")
    documents = load_documents(tmp_path / "house")
    assert floor_of(documents, Reader(), tmp_path / "house") == 0.5, "links, and three folders deep"
    assert floor_of(documents, Reader(), deep) == NO_FLOOR, "that of the whole is not a part's"


def test_what_the_cut_off_stops_is_counted(retriever):
    class Strict(Reader):
        none = 20.0

    strict = Retriever(retriever.index, retriever.embedder, Strict(), 2)
    found = calibrate(strict, asked(range(100), True) + asked(range(-5, 15), False), answered=0.9)
    assert (found.floor, found.answered, found.refused) == (10, 0.8, 1)
    assert "cut-off is stricter: below 20" in str(found)
