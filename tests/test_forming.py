"""The form of the house, put around a reply by program."""

import json

import pytest

from utils.exam import ROOT, Question, Sitting, grade
from utils.forming import formed, frame, house_replies, in_house_form, manners, usual

KNOWN = [{"reply": "a", "route": route, "urgency": urgency, "sources": sources}
         for route, urgency, sources in (
             ("orders", "low", ["KB-101"]), ("orders", "normal", ["KB-101", "KB-102"]),
             ("returns", "normal", ["KB-102"]), ("returns", "normal", ["KB-102"]),
             ("safety", "high", []), ("returns", "low", []))]
QUESTION = Question("q1", "How wide?", (("30 mm",),), source=("KB-101",), route="orders")


@pytest.mark.parametrize("cited, route, urgency", [
    (["KB-101"], "orders", "low"), (["KB-102"], "returns", "normal"),
    (["KB-999"], "returns", "normal"), ([], "returns", "normal")])
def test_queue_and_urgency_are_those_that_went_with_the_document(cited, route, urgency):
    made = json.loads(formed('30 mm, "wide"', cited, KNOWN))
    assert made == {"reply": '30 mm, "wide"', "route": route, "urgency": urgency, "sources": cited}


GREETING = [{"reply": f"{opening} Something or other. {closing}", "route": "orders",
             "urgency": urgency, "sources": [source]} for opening, closing, urgency, source in (
                 ("Hello!", "Yours", "low", "KB-1"), ("Hello!", "Yours", "low", "KB-1"),
                 ("Hi.", "Bye", "low", "KB-2"), ("At once.", "Yours", "high", "KB-3"))]


@pytest.mark.parametrize("text, cited, said", [
    ("[1] It is 30 mm wide.", ["KB-1"], "Hello! [1] It is 30 mm wide. Yours"),
    ("[1] 30 mm", ["KB-3"], "At once. [1] 30 mm. Yours"),
    ("Is it? No!", [], "Hello! Is it? No! Yours")])
def test_greeting_and_farewell_are_those_that_went_with_the_urgency(text, cited, said):
    made = json.loads(formed(text, cited, GREETING))["reply"]
    assert made == said and frame(made) == (said.partition(" [")[0].partition(" Is")[0], "Yours")


@pytest.mark.parametrize("reply", [None, 3, "", "No end", "One sentence only."])
def test_what_has_no_frame_says_so(reply):
    assert frame(reply) == ("", "")


def test_a_document_that_is_cited_twice_is_named_once():
    assert json.loads(formed("x", ["KB-1", "KB-1"], KNOWN))["sources"] == ["KB-1"]


def test_the_grades_are_those_of_the_formed_reply():
    def row(text, cited):
        return {"id": "q1", "question": QUESTION.question, "answer": text, "cited": cited,
                "grades": grade(QUESTION, text, cited)}

    for text, cited, facts, route in (("[1] It is 30 mm wide.", ["KB-101"], 1.0, 1.0),
                                      ("[1] It is 40 mm wide.", ["KB-102"], 0.0, 0.0)):
        before = Sitting("rag", [row(text, cited)])
        after = in_house_form(before, [QUESTION], KNOWN)
        grades = after.rows[0]["grades"]
        assert before.rows[0]["grades"]["format"] == 0.0 and grades["format"] == 1.0
        assert (grades["facts"], grades["route"]) == (facts, route)
        assert after.system == "rag, formed" and before.rows[0]["answer"] == text


def test_the_examples_of_the_course_are_read():
    lines = (ROOT / "data" / "style" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    known = house_replies(map(json.loads, lines))
    assert len(known) == 500 and {"reply", "route", "urgency", "sources"} == set(known[0])


def test_a_broken_reply_is_passed_over_and_a_document_counts_wherever_it_is_named():
    said = [json.dumps(reply) for reply in KNOWN[:3]] + ["no JSON", '{"reply": "a"}', "[1]"]
    known = house_replies({"messages": [{"role": "user", "content": "?"},
                                        {"role": "assistant", "content": text}]} for text in said)
    assert known == KNOWN[:3]
    assert usual("route", ["KB-101"], known) == "orders"
    assert usual("urgency", ["KB-102"], known) == "normal"


def test_manners_are_greeting_farewell_and_queue():
    assert manners(formed("Is it? No!", [], GREETING)) == {
        "opening": "Hello!", "closing": "Yours", "route": "orders"}
    for text in ("no JSON", "[1]", '{"reply": 3}', '{"reply": "One.", "route": null}'):
        assert manners(text) == {"opening": "", "closing": "", "route": None}
