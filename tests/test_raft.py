"""Examples with documents: the right passage is there, or the reply says that it is not."""

import json
from types import SimpleNamespace

import pytest

from utils import raft
from utils.chunking import Chunk, by_sentence
from utils.documents import CourseError, load_documents
from utils.exam import exam, grade
from utils.grading import abstains
from utils.profiles import ROOT
from utils.prompts import passages
from utils.raft import with_documents
from utils.retrieval import Hit

CLOSING = "Ride well, your Wrenfield team"
UNKNOWN = "I could not find this in our documents, so I have passed your question to a colleague."


def chunk(document: str, n: int, text: str) -> Chunk:
    return Chunk(document, f"Title of {document}", (), 100 * n, 100 * n + 90, text)


GOLD = chunk("KB-101", 0, "The small bell costs EUR 9.")
TABLE = chunk("KB-102", 0, 'part: bell "Ding"; price: EUR 12')
OTHERS = [chunk("KB-200", n, f"Lamp number {n} shines for {n} hours.") for n in range(12)]
CHUNKS = [GOLD, TABLE, *OTHERS]


class Retriever:
    """Finds what it is told to find."""

    def __init__(self, found=(*OTHERS[:2], GOLD, *OTHERS[2:]), close=99):
        self.found, self.index, self.asked = found, SimpleNamespace(chunks=CHUNKS), []
        self.close = close  # so many of them are near the first

    def search_many(self, asked, k, floor=None):
        assert floor == float("-inf")  # for lessons, a passage is better than none
        self.asked += asked
        return [[Hit(c, 1.0, {}, behind=0 if n < self.close else 2)
                 for n, c in enumerate(self.found[:k])] for _ in asked]


def example(question="What is the bell?", opening="Thanks for asking!", said="It is EUR 9.",
            source="KB-101", quote="The small bell costs EUR 9.", urgency="low") -> dict:
    reply = {"reply": f"{opening} {said} {CLOSING}", "route": "orders", "urgency": urgency,
             "sources": [source] if source else []}
    return {"messages": [{"role": "user", "content": question},
                         {"role": "assistant", "content": json.dumps(reply)}],
            "source": source, "quote": quote if source else None}


NOT_KNOWN = example("Do you sell a tandem?", said=UNKNOWN, source=None)
COMPLAINT = example("It smokes!", "We are on it.", "Please do not ride.", None, urgency="high")


def made(*examples, found=None, **options) -> list[tuple[str, dict]]:
    """What the model is shown, and the reply it learns."""
    retriever = Retriever() if found is None else Retriever(found)
    rows = with_documents([*examples, NOT_KNOWN, COMPLAINT], retriever, **options)
    assert all([m["role"] for m in row["messages"]] == ["user", "assistant"] for row in rows)
    return [(row["messages"][0]["content"], json.loads(row["messages"][1]["content"]))
            for row in rows]


def test_the_right_passage_stands_where_it_was_found():
    asked, reply = made(example(), withheld=0)[0]
    assert asked == "What is the bell?\n\n" + passages([*OTHERS[:2], GOLD, *OTHERS[2:5]])
    assert reply == {"reply": f"Thanks for asking! [3] {GOLD.text} {CLOSING}", "route": "orders",
                     "urgency": "low", "sources": ["KB-101"]}


@pytest.mark.parametrize(("found", "close", "shown"), [
    ((GOLD, *OTHERS), 1, [GOLD]),  # at the desk it would stand alone
    ((OTHERS[0], GOLD, *OTHERS[1:]), 1, [GOLD]),  # too far behind: it takes the first's place
    ((OTHERS[0], GOLD, *OTHERS[1:]), 3, [OTHERS[0], GOLD, OTHERS[1]]),
    ((), 1, [GOLD])])
def test_no_more_is_shown_than_at_the_desk(found, close, shown):
    row = with_documents([example(), NOT_KNOWN], Retriever(found, close), withheld=0)[0]
    assert row["messages"][0]["content"] == "What is the bell?\n\n" + passages(shown)


def test_the_queue_is_named_when_the_documents_are():
    """A model writes from left to right: the queue may follow from the document, not before it."""
    for _, reply in made(example(), withheld=0.5):
        assert list(reply) == ["reply", "sources", "route", "urgency"]


def test_a_passage_that_was_not_found_is_put_among_the_others():
    places = set()
    for seed in range(20):
        asked, _ = made(example(), found=OTHERS, withheld=0, passages=4, seed=seed)[0]
        lines = asked.split("\n")[2:]
        assert len(lines) == 4
        places.add(next(n for n, line in enumerate(lines) if GOLD.text in line))
    assert places == {0, 1, 2, 3}


def test_where_little_was_found_little_is_shown():
    asked, reply = made(example(), found=[], withheld=0)[0]
    assert asked == "What is the bell?\n\n" + passages([GOLD]) and reply["sources"] == ["KB-101"]
    asked, reply = made(example(), found=[], withheld=1)[0]
    assert asked == "What is the bell?\n\n" and reply["sources"] == []


def test_held_back_means_that_nothing_shown_answers_and_the_reply_says_so():
    nearly = chunk("KB-300", 0, "The small bell costs EUR 9. Ring it.")
    asked, reply = made(example(urgency="high", opening="We are on it."),
                        found=[nearly, GOLD, *OTHERS], withheld=1)[0]
    assert "EUR 9" not in asked and asked.count("\n[") == 6
    assert reply == {"reply": f"We are on it. {UNKNOWN} {CLOSING}", "route": "orders",
                     "urgency": "high", "sources": []}


def test_most_of_what_is_held_back_is_shown_nothing_and_says_so_too():
    rows = made(*[example(f"Bell {n}?") for n in range(200)], found=OTHERS, withheld=1)[:200]
    empty = [reply for asked, reply in rows if "[1]" not in asked]
    assert 125 < len(empty) < 175
    assert all(UNKNOWN in reply["reply"] and reply["sources"] == [] for _, reply in rows)


def test_the_words_for_not_knowing_come_from_an_example_that_does_not_know():
    rows = with_documents([example(), COMPLAINT, NOT_KNOWN], Retriever(), withheld=1)
    assert abstains(rows[0]["messages"][1]["content"])
    with pytest.raises(CourseError, match="No example shows how .* withheld=0"):
        with_documents([example(), COMPLAINT], Retriever(), withheld=0.5)


def test_the_share_held_back_is_about_what_was_asked_and_the_same_every_time():
    many = [example(f"Question {n}?") for n in range(400)]
    first = made(*many, withheld=0.3, seed=5)
    kept = sum(bool(reply["sources"]) for _, reply in first)
    assert 250 < kept < 310 and first == made(*many, withheld=0.3, seed=5)
    assert first != made(*many, withheld=0.3, seed=6)


def test_a_reply_without_a_source_stays_as_it_is():
    for asked, reply in made(example())[1:]:
        assert asked.count("\n[") == 6 and reply["sources"] == []
    assert made(example())[2][1]["reply"] == f"We are on it. Please do not ride. {CLOSING}"


def test_a_table_row_is_quoted_as_the_reader_sees_it():
    row = example(source="KB-102", quote='| bell "Ding" | EUR 12 |')
    asked, reply = made(row, withheld=0)[0]
    assert TABLE.text in asked
    number = asked.partition(TABLE.text)[0][-4:]
    assert reply["reply"] == f"Thanks for asking! {number}{TABLE.text}. {CLOSING}"


def test_a_quote_that_no_longer_stands_in_its_source_teaches_nothing():
    lost = [example(source="KB-999"), example(quote="Nobody wrote this sentence."), example()]
    assert [reply["sources"] for _, reply in made(*lost, withheld=0)] == [["KB-101"], [], []]


def test_a_reply_in_a_frame_of_its_own_is_quoted_whole():
    bare = example()
    bare["messages"][1]["content"] = '{"reply": "no idea", "sources": ["KB-101"]}'
    rows = with_documents([bare], Retriever(), withheld=0)
    assert json.loads(rows[0]["messages"][1]["content"])["reply"] == f"[3] {GOLD.text}"


@pytest.mark.parametrize(("options", "said"), [
    ({"passages": 0}, "passages=0 leaves no room"), ({"withheld": 1.5}, "withheld=1.5 is no share"),
    ({"withheld": -0.1}, "is no share")])
def test_impossible_wishes_are_refused(options, said):
    with pytest.raises(CourseError, match=said):
        with_documents([example()], Retriever(), **options)


def test_an_example_that_cannot_be_used_is_named():
    with pytest.raises(CourseError, match="Example 2 names its source KB-101 and no quote"):
        with_documents([example(), example(quote="")], Retriever())
    broken = example()
    for said in ("Thanks for asking!", '{"answer": "EUR 9"}', '{"reply": 9}'):
        broken["messages"][1]["content"] = said
        with pytest.raises(CourseError, match="The reply of example 1 is no JSON object with a"):
            with_documents([broken], Retriever())


# ---------------------------------------------------------------- the company's own examples


@pytest.fixture(scope="module")
def company():
    """Every tenth of the style examples, over the company's chunks and a retriever that errs."""
    chunks = [c for d in load_documents(ROOT / "data" / "company") for c in by_sentence(d)]
    retriever = Retriever(chunks[:9])
    retriever.index.chunks = chunks
    text = (ROOT / "data" / "style" / "train.jsonl").read_text(encoding="utf-8")
    examples = [json.loads(line) for line in text.splitlines()][::10]
    return examples, with_documents([*examples], retriever, passages=4, withheld=0.2)


def test_every_learned_reply_is_valid_and_quotes_what_is_shown(company):
    question = exam("dev")[0]
    for before, after in zip(*company, strict=True):
        asked, reply = (m["content"] for m in after["messages"])
        known = json.loads(reply)
        assert grade(question, reply)["format"] == 1
        assert known["route"] == json.loads(before["messages"][1]["content"])["route"]
        for source in known["sources"]:
            said = raft.FRAMED.fullmatch(known["reply"])["said"].rstrip(".")
            assert said in asked and f"({source}: " in asked.partition(said)[2].partition("\n")[0]


def test_every_source_of_the_company_is_found(company):
    for before, after in zip(*company, strict=True):
        reply = after["messages"][1]["content"]
        assert bool(json.loads(reply)["sources"]) == bool(before.get("source")) or abstains(reply)
