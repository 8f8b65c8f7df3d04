"""Every leaf of the tree is reached by the reply that belongs there, and by no other."""

import json

import pytest

from utils.chunking import by_sentence
from utils.coverage import gold_spans
from utils.diagnosis import Fault, diagnose, faults, passages_used, queues
from utils.documents import Document
from utils.exam import Question, Sitting, grade

POOL = Document("KB-901", "Pool", "The pool opens at 7:30. It closes at dusk. Caps cost EUR 4.")
GYM = Document("KB-902", "Gym", "The gym opens at 6:00. Towels are required on every machine.")
PAGES = [POOL, GYM]
CHUNKS = [c for page in PAGES for c in by_sentence(page)]
HOURS, DUSK, CAPS, GYM_HOURS, TOWELS = CHUNKS

OPENS = Question("opens", "When does the pool open?", (("7:30",),), ("KB-901",),
                 ("The pool opens at 7:30.",), route="orders")
BOTH = Question("both", "When do pool and gym open?", (("7:30",), ("6:00",)),
                ("KB-901", "KB-902"), ("The pool opens at 7:30.", "The gym opens at 6:00."),
                "two_documents")
SAUNA = Question("sauna", "Is there a sauna?", (), kind="unanswerable")


def house(reply: str, *sources: str) -> str:
    return json.dumps({"reply": reply, "route": "orders", "urgency": "low",
                       "sources": list(sources)})


def verdict(question: Question, reply: str, found: list, form: bool = False) -> Fault:
    gold = gold_spans(question, PAGES) if question.answerable else ()
    return diagnose(question, reply, grade(question, reply), found, gold, form)


@pytest.mark.parametrize("reply, found, fault", [
    ("[1] The pool opens at 7:30.", [HOURS, CAPS], Fault.NONE),
    ("From half past seven in the morning.", [HOURS, CAPS], Fault.NONE),
    ("[1] Caps cost EUR 4.", [CAPS, GYM_HOURS], Fault.NOT_RETRIEVED),
    ("I could not find that in the documents.", [CAPS, GYM_HOURS], Fault.NOT_RETRIEVED),
    ("I could not find that in the documents.", [], Fault.NOT_RETRIEVED),
    ("I could not find that in the documents.", [CAPS, HOURS], Fault.SILENT),
    ("[1] Caps cost EUR 4.", [CAPS, HOURS], Fault.NOT_USED),
    ("Towels are required.", [HOURS, TOWELS], Fault.NOT_USED),
    ("Bananas, bananas.", [HOURS, TOWELS], Fault.NOT_USED),
    ("", [HOURS], Fault.NOT_USED),
    ("[2] The pool opens at 9:30.", [CAPS, HOURS], Fault.WORDS),
    ("The pool opens at 9:30.", [CAPS, HOURS], Fault.WORDS),
    ("[7] The pool opens at 9:30.", [CAPS, HOURS], Fault.WORDS),
])
def test_an_answerable_question(reply, found, fault):
    assert verdict(OPENS, reply, found) == fault


@pytest.mark.parametrize("reply, fault", [
    ("I could not find that in the documents.", Fault.NONE),
    ("[1] Towels are required on every machine.", Fault.MADE_UP),
])
def test_an_unanswerable_question(reply, fault):
    assert verdict(SAUNA, reply, [TOWELS]) == fault
    assert verdict(SAUNA, reply, [TOWELS], form=True) == (
        Fault.FORM if fault == Fault.NONE else fault)


@pytest.mark.parametrize("reply, found, fault", [
    ("[1] The pool opens at 7:30. [2] The gym opens at 6:00.", [HOURS, GYM_HOURS], Fault.NONE),
    ("[1] The pool opens at 7:30.", [HOURS, CAPS], Fault.NOT_RETRIEVED),
    ("[1] The pool opens at 7:30.", [HOURS, GYM_HOURS], Fault.NOT_USED),
    ("[1] The pool opens at 9. [2] The gym opens at 9.", [HOURS, GYM_HOURS], Fault.WORDS),
])
def test_a_question_over_two_documents_needs_both(reply, found, fault):
    assert verdict(BOTH, reply, found) == fault


def test_the_form_is_a_fault_only_where_it_is_asked_for():
    plain, formed = "[1] The pool opens at 7:30.", house("It opens at 7:30.", "KB-901")
    assert verdict(OPENS, plain, [HOURS]) == Fault.NONE
    assert verdict(OPENS, plain, [HOURS], form=True) == Fault.FORM
    assert verdict(OPENS, formed, [HOURS], form=True) == Fault.NONE
    assert verdict(OPENS, formed + "}", [HOURS], form=True) == Fault.FORM


def test_what_failed_first_is_named_and_not_the_form():
    assert verdict(OPENS, "[1] Caps cost EUR 4.", [CAPS], form=True) == Fault.NOT_RETRIEVED


def test_a_house_reply_rests_on_the_documents_it_names():
    reply = house("Thanks for asking! Towels are required on every machine.", "KB-902")
    assert passages_used(reply, CHUNKS) == [TOWELS]
    assert verdict(OPENS, reply, CHUNKS) == Fault.NOT_USED
    wrong = house("Thanks for asking! The pool opens at 9:30.", "KB-901")
    assert verdict(OPENS, wrong, CHUNKS) == Fault.WORDS


def test_after_the_update_the_new_answer_counts():
    fresh = Question("f", "When does the pool open?", (("7:30",),), ("KB-901",),
                     ("The pool opens at 7:30.",), "fresh")
    assert verdict(fresh, "[1] The pool opens at 7:30.", [HOURS]) == Fault.NONE
    assert verdict(fresh, "[1] Caps cost EUR 4.", [CAPS, HOURS]) == Fault.NOT_USED


def test_a_whole_sitting_is_diagnosed_question_by_question():
    replies = {OPENS: "[1] The pool opens at 7:30.", SAUNA: "[1] The pool opens at 7:30."}
    sitting = Sitting("rag", [{"id": q.id, "answer": r, "grades": grade(q, r)}
                              for q, r in replies.items()])
    found = {q.question: [HOURS] for q in replies}
    assert faults(sitting, list(replies), found, PAGES) == {OPENS: Fault.NONE,
                                                            SAUNA: Fault.MADE_UP}
    assert faults(sitting, [OPENS], found, PAGES, form=True) == {OPENS: Fault.FORM}


def test_the_queue_by_table_is_set_beside_the_queue_by_model():
    taught = [{"messages": [{"role": "assistant", "content": house("a", "KB-901")}]}]
    rows = [{"id": "opens", "cited": cited, "grades": {"route": 0.0}}
            for cited in (["KB-901", "KB-902"], ["KB-902"], [])]
    assert queues(Sitting("x", rows), [OPENS], taught) == {"a table": [1.0], "the model": [0.0]}
