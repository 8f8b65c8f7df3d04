"""Questions are loaded or refused by name and line; grades, and intervals hold."""

import json

import numpy as np
import pytest

from utils import exam
from utils.documents import CourseError
from utils.exam import Question, Sitting, compare, grade, interval, load_questions

HOUSE = {"reply": "Thanks for asking! You have 45 days. Ride well, your Wrenfield team",
         "route": "returns", "urgency": "low", "sources": ["KB-101"]}
ASKED = Question("q1", "How long can I send it back?", (("45 days",),), ("KB-101",),
                 route="returns")
UNANSWERABLE = Question("q2", "Who designed the bell?", (), kind="unanswerable", route="orders")


def written(tmp_path, *lines):
    path = tmp_path / "questions.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n"
                            for line in lines), encoding="utf-8")
    return path


def one(tmp_path, **row):
    (question,) = load_questions(written(tmp_path, {"id": "a", "question": "Why?", **row}))
    return question


# ---------------------------------------------------------------- loading


@pytest.mark.parametrize("answers, groups", [
    ("45 days", (("45 days",),)), (45, (("45",),)), (0, (("0",),)),
    (["45 days", "six weeks"], (("45 days", "six weeks"),)),
    ([["red"], ["grey", "gray"]], (("red",), ("grey", "gray"))),
    ([], ())])
def test_answers_as_text_list_or_lists(tmp_path, answers, groups):
    question = one(tmp_path, answers=answers)
    assert question.answers == groups
    assert question.answerable == bool(groups)
    assert question.kind == ("lookup" if groups else "unanswerable")


@pytest.mark.parametrize("given, found", [
    ("KB-101", ("KB-101",)), (["KB-101", "KB-102"], ("KB-101", "KB-102")), ([], ()), (None, ())])
def test_sources_and_quotes_as_text_or_list(tmp_path, given, found):
    question = one(tmp_path, answers="x", source=given, quote=given)
    assert question.source == question.quote == found


def test_all_but_question_and_answers_may_be_left_out(tmp_path):
    first, second = load_questions(written(tmp_path, {"question": " Why? ", "answers": "x"}, "",
                                           {"question": "How?", "answers": [], "id": 0}))
    assert (first.id, first.question, first.route, first.quote) == ("q1", "Why?", None, ())
    assert second.id == "0"
    assert one(tmp_path, answers="x", route="orders", kind="table").route == "orders"


def test_line_separators_inside_a_text_do_not_end_the_line(tmp_path):
    line = '{"id": "a", "question": "Why\u2028not?", "answers": ["x"]}'
    path = written(tmp_path, "\ufeff" + line + "\r", line.replace('"a"', '"b"'))
    assert [q.id for q in load_questions(path)] == ["a", "b"]


GOOD = {"id": "a", "question": "Why?", "answers": ["x"]}


@pytest.mark.parametrize("line, sentence", [
    ('{"question": "Why?"', "this is no JSON"),
    ("[" * 100_000, "this is no JSON"),
    (["Why?", "x"], "a JSON object is needed, and this is a list"),
    ({"answers": ["x"]}, "the field 'question' is missing or empty"),
    ({"question": "  ", "answers": ["x"]}, "the field 'question' is missing or empty"),
    ({"question": "Why?"}, "the field 'answers' is missing"),
    ({"question": "Why?", "answers": None}, "'answers' must be a list of texts"),
    ({"question": "Why?", "answers": ""}, "'answers' holds something that is no text or is empty"),
    ({"question": "Why?", "answers": ["x", " "]}, "'answers' holds something that is no text or"),
    ({"question": "Why?", "answers": [["x"], []]}, "'answers' holds something that is no text or"),
    ({"question": "Why?", "answers": [["x"], "y"]}, "'answers' holds something that is no text or"),
    ({"question": "Why?", "answers": [True]}, "'answers' holds something that is no text or is"),
    ({**GOOD, "id": "b", "source": 101}, "'source' must be a text or a list of texts"),
    ({**GOOD, "id": "b", "route": ["orders"]}, "'route' must be a text"),
    (GOOD, "the id 'a' is used twice")])
def test_a_bad_line_is_named_with_file_line_and_remedy(tmp_path, line, sentence):
    path = written(tmp_path, GOOD, "", line)
    with pytest.raises(CourseError) as caught:
        load_questions(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, line 3: {sentence}"), message
    assert any(word in message for word in ("Write", "Give")) and "\n" not in message
    assert message.endswith(".")


def test_empty_and_missing_files(tmp_path):
    with pytest.raises(CourseError, match=r"questions\.jsonl, line 1: the file holds no question\. "
                                          r"Write one JSON object a line"):
        load_questions(written(tmp_path, "", "  "))
    with pytest.raises(CourseError, match=r"There is no question file .*gone\.jsonl\. Check the "
                                          r"path; it is read from .*\."):
        load_questions(tmp_path / "gone.jsonl")


# ---------------------------------------------------------------- grades


def test_a_right_reply_with_its_source():
    assert grade(ASKED, "You have 45 days. [1]", ["KB-101"]) == {
        "format": 0, "route": 0, "facts": 1, "cites": 1, "answers": 1, "invents": 0}


def test_a_right_reply_in_the_house_format():
    found = grade(ASKED, json.dumps(HOUSE), ["KB-101"])
    assert set(found.values()) == {0, 1} and found["invents"] == 0
    assert [found[m] for m in ("format", "route", "facts", "cites", "answers")] == [1] * 5


@pytest.mark.parametrize("change", [
    {"reply": ""}, {"route": "sales"}, {"urgency": "soon"}, {"sources": "KB-101"},
    {"sources": ["KB-1"]}, {"sources": ["KB-101", "KB-101"]}, {"more": 1}])
def test_what_is_not_the_house_format(change):
    assert grade(ASKED, json.dumps({**HOUSE, **change}))["format"] == 0
    for field in HOUSE:
        without = {k: v for k, v in HOUSE.items() if k != field}
        assert grade(ASKED, json.dumps(without))["format"] == 0
    assert grade(ASKED, f"```json\n{json.dumps(HOUSE)}\n```")["format"] == 0


def test_a_wrong_reply():
    found = grade(ASKED, "You have 30 days.", ["KB-101"])
    assert (found["facts"], found["invents"], found["answers"], found["cites"]) == (0, 1, 1, 1)
    assert grade(ASKED, json.dumps({**HOUSE, "route": "orders"}))["route"] == 0


def test_a_reply_that_abstains():
    reply = "I could not find this in our documents."
    found = grade(ASKED, reply)
    assert (found["facts"], found["invents"], found["answers"]) == (0, 0, 0)
    found = grade(UNANSWERABLE, reply)
    assert (found["abstains"], found["invents"]) == (1, 0)
    assert not {"facts", "cites", "answers"} & set(found)


def test_an_invented_reply():
    found = grade(UNANSWERABLE, "Mette Kvist did, in 2019.")
    assert (found["abstains"], found["invents"]) == (0, 1)


def test_an_empty_reply_neither_answers_nor_abstains_nor_invents():
    for reply in ("", " \n", json.dumps({**HOUSE, "reply": ""})):
        assert [grade(ASKED, reply)[m] for m in ("facts", "answers", "invents")] == [0, 0, 0]
        assert [grade(UNANSWERABLE, reply)[m] for m in ("abstains", "invents")] == [0, 0]


@pytest.mark.parametrize("source, cited, right", [
    (["KB-1"], [], 0), (["KB-1"], ["KB-2"], 0), (["KB-1"], ["KB-1"], 1),
    (["KB-1"], ["KB-1", "KB-2"], 1), (["KB-1"], ["KB-1", "KB-2", "KB-3"], 0),
    (["KB-1"], ["KB-1", "KB-1", "KB-1"], 1), (["KB-1", "KB-2"], ["KB-1"], 0),
    (["KB-1", "KB-2"], ["KB-2", "KB-3", "KB-1"], 1), ([], ["KB-1"], None)])
def test_citations(source, cited, right):
    question = Question("q", "?", (("45 days",),), tuple(source))
    assert grade(question, "45 days", cited)["cites"] == right


def test_what_a_question_does_not_test_is_not_graded():
    assert grade(Question("q", "?", (("x",),)), "x")["route"] is None
    fresh = grade(Question("q", "?", (("60 days",),), ("KB-1",), kind="fresh"), "60 days", ["KB-1"])
    assert fresh["fresh"] == 1 and fresh.get("facts") is None


def test_metrics_of_a_sitting():
    rows = [{"id": "1", "kind": "lookup", "grades": grade(ASKED, "45 days", ["KB-101"])},
            {"id": "2", "kind": "lookup", "grades": grade(ASKED, "30 days", [])},
            {"id": "3", "kind": "unanswerable", "grades": grade(UNANSWERABLE, "I do not know.")}]
    metrics = Sitting("rag", rows).metrics()
    assert (metrics["facts"].value, metrics["facts"].n) == (0.5, 2)
    assert (metrics["abstains"].value, metrics["abstains"].n) == (1, 1)
    assert metrics["invents"].n == 3 and "fresh" not in metrics
    assert list(metrics) == [m for m in exam.METRICS if m in metrics]
    kinds = Sitting("rag", rows).by_kind()
    assert set(kinds) == {"lookup", "unanswerable"} and "facts" not in kinds["unanswerable"]


# ---------------------------------------------------------------- intervals and differences


@pytest.mark.parametrize("draw, mean", [
    (lambda g: g.random(60) < 0.7, 0.7), (lambda g: g.normal(2, 1, 60), 2)])
def test_the_interval_covers_the_true_mean_about_95_times_in_100(draw, mean):
    generator = np.random.default_rng(7)
    covered = [found.low <= mean <= found.high for found in
               (interval(draw(generator), rounds=600) for _ in range(500))]
    assert 0.91 <= np.mean(covered) <= 0.985


def test_degenerate_intervals():
    assert interval([]).n == 0
    single = interval([1.0])
    assert (single.value, single.low, single.high, single.n) == (1, 1, 1, 1)
    same = interval([0.0] * 20)
    assert (same.low, same.high) == (0, 0)
    assert interval([0, 1, 1, 0, 1]) == interval([0, 1, 1, 0, 1])
    wide, narrow = interval([0, 1] * 10), interval([0, 1] * 200)
    assert wide.low < narrow.low < 0.5 < narrow.high < wide.high
    assert str(interval([1, 1])) == "1.00 [1.00, 1.00]"


def sitting(system, grades, metric="facts"):
    return Sitting(system, [{"id": i, "kind": "lookup", "grades": {metric: g}}
                            for i, g in grades.items()])


def test_the_sign_of_a_difference():
    better = sitting("rag", {f"q{i}": 1.0 for i in range(30)})
    worse = sitting("base", {f"q{i}": float(i % 3 == 0) for i in range(30)})
    found = compare(better, worse)
    assert found.value == pytest.approx(2 / 3) and found.clear
    assert (found.better, found.worse, found.n) == (20, 0, 30)
    back = compare(worse, better)
    assert back.value == -found.value and back.clear and back.high < 0
    assert str(found).startswith("+0.67 [") and "better on 20, worse on 0 of 30" in str(found)


def test_who_invents_less_is_the_better_one():
    honest, bold = (Sitting(name, [{"id": n, "grades": {"invents": float(n < count)}}
                                   for n in range(20)])
                    for name, count in (("honest", 2), ("bold", 9)))
    gap = compare(bold, honest, "invents")
    assert gap.value == pytest.approx(0.35) and (gap.better, gap.worse) == (0, 7)
    gap = compare(honest, bold, "invents")
    assert gap.high < 0 and (gap.better, gap.worse) == (7, 0)


def test_a_difference_that_is_not_clear():
    a = sitting("a", {f"q{i}": float(i % 2) for i in range(20)})
    b = sitting("b", {f"q{i}": float(i % 2 == 0) for i in range(20)})
    assert compare(a, b).value == 0 and not compare(a, b).clear
    assert compare(a, a).value == 0 and not compare(a, a).clear


def test_pairs_are_found_by_id_in_any_order():
    a = sitting("a", {"x": 1.0, "y": 0.0, "only a": 1.0, "ungraded": None})
    b = sitting("b", {"ungraded": 1.0, "y": 0.0, "x": 0.0, "only b": 1.0})
    found = compare(a, b)
    assert (found.n, found.value, found.better, found.worse) == (2, 0.5, 1, 0)
    with pytest.raises(CourseError, match="a and b share no question graded on 'route'. Let both"):
        compare(a, b, "route")


def test_pairing_makes_the_interval_of_a_steady_gain_narrow():
    generator = np.random.default_rng(0)
    hard = generator.random(100) < 0.5
    a = sitting("a", {f"q{i}": float(not h or i % 10 == 0) for i, h in enumerate(hard)})
    b = sitting("b", {f"q{i}": float(not h) for i, h in enumerate(hard)})
    found = compare(a, b)
    alone = interval([float(not h) for h in hard])
    assert found.high - found.low < alone.high - alone.low


def test_half_a_character_is_replaced(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text('{"id": "a\\ud83d", "question": "where \\ud83d?", "answers": []}\n')
    (question,) = load_questions(path)
    assert question.id.encode("utf-8") == b"a?" and question.question.encode("utf-8") == b"where ??"
