"""The house prompt shows the rules, worked examples and the question, and gives nothing away."""

import json

import pytest

from utils import prompts
from utils.assistant import SYSTEMS, Assistant, cited_documents, sit
from utils.coverage import gold_spans
from utils.documents import CourseError, load_documents
from utils.exam import exam, grade
from utils.loading import load_generator
from utils.profiles import choose
from utils.prompts import DATA, house, passages, worked_examples
from utils.retrieval import Hit

SCHEMA = json.loads((DATA / "style" / "schema.json").read_text(encoding="utf-8"))
CHUNKS = worked_examples()[0].chunks


@pytest.mark.parametrize("examples", [0, 1, 2, 3])
def test_rules_then_examples_then_the_question(examples):
    turns = house(" How long? ", CHUNKS, examples)
    assert [t["role"] for t in turns] == ["system", *["user", "assistant"] * examples, "user"]
    assert turns[0]["content"] == prompts.HOUSE
    assert turns[-1] == prompts.grounded("How long?", CHUNKS)[1], "asked as `rag` asks"
    for example, asked in zip(worked_examples(), turns[1:-1:2], strict=False):
        assert asked["content"] == f"{example.question}\n\n{passages(example.chunks)}"


def test_the_rules_name_all_that_the_schema_demands():
    for word in (*SCHEMA["required"], *SCHEMA["properties"]["route"]["enum"],
                 *SCHEMA["properties"]["urgency"]["enum"]):
        assert word in prompts.HOUSE, word


def test_the_examples_are_replies_of_the_house():
    question = exam("dev")[0]
    for example in worked_examples():
        assert grade(question, example.reply)["format"] == 1
    replies = [json.loads(e.reply) for e in worked_examples()]
    assert len({r["route"] for r in replies}) == 3
    assert [bool(r["sources"]) for r in replies] == [True, False, True]
    for name, place, example in zip(prompts.EXAMPLES, (0, None, 1), worked_examples(),
                                    strict=True):
        reply = json.loads(example.reply)
        sentence = [c.text.rstrip(".") in reply["reply"] for c in example.chunks]
        assert sentence == [n == place for n in range(2)], name
        assert reply["sources"] == ([example.chunks[place].document] if place is not None else [])


def test_the_examples_show_no_exam_answer():
    """Neither what an exam question asks about, nor what the update changes."""
    shown = [c for e in worked_examples() for c in e.chunks]
    documents = load_documents(DATA / "company")
    for question in (q for q in exam("dev") + exam("test") if q.answerable):
        for name, start, end in gold_spans(question, documents):
            assert not any(c.document == name and c.start < end and start < c.end
                           for c in shown), question.id
    newer = {d.id: d.text for d in load_documents(DATA / "update")}
    assert all(c.text in newer.get(c.document, c.text) for c in shown)


def test_the_longest_house_prompt_fits_the_pocket_model():
    generator = load_generator(choose("embedded"))
    long = CHUNKS * 3
    assert generator.count_tokens(house("How long? " * 20, long, 3)) + 128 <= generator.longest


def test_prompted_is_a_system_with_both_sockets():
    filling = SYSTEMS["prompted"]
    assert filling.searches and filling.generates and filling.prompt is house

    class Found:
        def search_many(self, questions):
            return [[Hit(c, 1.0, {}) for c in CHUNKS] for _ in questions]

    class Echo:
        """Answers with its last worked example."""

        def replies(self, conversations, tokens, progress, passages):
            return [turns[2]["content"] for turns in conversations]

    sitting = sit(Assistant("prompted", Found(), Echo(), filling.prompt), exam("dev")[:5])
    for row in sitting.rows:
        assert row["cited"] == [CHUNKS[0].document] and row["grades"]["format"] == 1


def test_a_house_reply_cites_the_documents_it_names():
    reply = '{"reply": "x", "route": "orders", "urgency": "low", "sources": ["KB-102", "KB-9"]}'
    assert cited_documents(reply, [Hit(c, 1.0, {}) for c in CHUNKS]) == ("KB-102", "KB-9")


def test_missing_examples_are_named(monkeypatch, tmp_path):
    worked_examples.cache_clear()
    monkeypatch.setattr(prompts, "DATA", tmp_path)
    with pytest.raises(CourseError, match="git checkout data/style"):
        worked_examples()
    worked_examples.cache_clear()


def test_the_exercises_praise_the_solution_and_name_the_mistake(capsys):
    import re
    from collections import Counter

    from utils.diagnosis import Fault
    from utils.exercises import prompting_and_evaluation as exercises

    joint = re.compile(r",? and (?=(?:what|which|how|who|where|when)\b)")

    def carried(question: str) -> list[str]:
        first, *others = joint.split(question)
        return [first, *(f"{other} ({first})" for other in others)]

    counts = Counter({Fault.NONE: 50, Fault.NOT_RETRIEVED: 30, Fault.WORDS: 25})
    for check, right, wrong, mistake in (
            (exercises.check_verdicts, dict(zip(exercises.WHY, (True, False, True, False),
                                                strict=True)),
             dict.fromkeys(exercises.WHY, True), "taken back"),
            (exercises.check_needed, lambda d, x: 2.8 ** 2 * x / d ** 2,
             lambda d, x: 2.8 ** 2 * x / d, "Square the difference"),
            (lambda share: exercises.check_ceiling(share, counts), 50 / 75, 80 / 105,
             "some of these wrong too"),
            (exercises.check_parts, carried, joint.split, "Carry the first part")):
        check(right)
        assert capsys.readouterr().out.startswith("Right")
        check(wrong)
        assert mistake in capsys.readouterr().out
