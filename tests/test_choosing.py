"""The articles' advice, the table's answer, the claims, and the checks of notebook 06."""

import math

import pytest

from utils.choosing import (
    AIDS,
    CLAIMS,
    Case,
    above,
    gradient_descent_weekly,
    knowledgehut,
    measured,
    needs,
    novacademy,
    novaluxe,
    weakest,
    when_to_use_which,
    year,
)
from utils.exercises import choose
from utils.scoreboard import completed


def cell(value, spread=0.05):
    return {"value": value, "low": value - spread, "high": value + spread, "n": 100}


def row(**values):
    return {name: cell(value) for name, value in values.items()}


BOARD = {
    "profile": "embedded",
    "systems": {
        "extractive": row(facts=.5, cites=.6, fresh=.6, format=0, route=0, abstains=.6, invents=.4),
        "base": row(facts=0, cites=0, format=0, route=0, abstains=0, invents=.9),
        "rag": row(facts=.52, cites=.62, fresh=.6, format=0, route=0, abstains=.6, invents=.4),
        "prompted": row(facts=.3, cites=.3, format=.4, route=.2, abstains=0, invents=.6),
        "tuned": row(facts=.02, cites=.01, fresh=0, format=.99, route=.5, abstains=0, invents=.9),
        "hybrid": row(facts=.7, cites=.7, fresh=.9, format=.98, route=.92, abstains=.85,
                      invents=.2)},
    "costs": {
        "rag": {"setup_s": 30, "refresh_s": 9, "ms_per_question": 600, "prompt_tokens": 300},
        "prompted": {"prompt_tokens": 900, "ms_per_question": 700},
        "tuned": {"setup_s": 80, "refresh_s": 80, "ms_per_question": 100, "prompt_tokens": 30},
        "hybrid": {"setup_s": 200, "refresh_s": 4, "ms_per_question": 600}}}

DESK = Case("desk", changes_a_year=4, cites=True, form=True, labels=True, examples=480)
PRICES = Case("prices", changes_a_year=52)
MAIL = Case("mail", documents=False, voice=True, examples=300)
FORMS = Case("forms", documents=False, form=True, examples=300)


@pytest.mark.parametrize("case, aid, system", [
    (DESK, novacademy, "hybrid"), (DESK, when_to_use_which, "hybrid"), (DESK, novaluxe, "rag"),
    (DESK, knowledgehut, "hybrid"), (DESK, gradient_descent_weekly, "hybrid"),
    (MAIL, novacademy, "tuned"), (MAIL, when_to_use_which, "tuned"), (MAIL, novaluxe, "prompted"),
    (MAIL, knowledgehut, "tuned"), (MAIL, gradient_descent_weekly, "tuned"),
    (Case("few", form=True, examples=199), novacademy, "prompted"),
    (Case("few", form=True, examples=199), when_to_use_which, "rag"),
    (Case("many", form=True, examples=1001), novaluxe, "tuned"),
    (Case("alone", form=True, examples=480, trains=False), knowledgehut, "prompted")])
def test_an_aid_says_what_its_article_says(case, aid, system):
    assert aid(case).system == system and aid(case).why


def test_where_only_documents_change_all_say_retrieve():
    assert {aid(PRICES).system for aid in AIDS.values()} == {"rag"}


def test_no_documents_do_not_change():
    assert not Case("mail", documents=False, changes_a_year=52).changes_often


def test_a_case_needs_what_it_names():
    assert needs(DESK) == ["facts", "cites", "fresh", "format", "route"]
    assert needs(PRICES) == ["facts", "fresh"] and needs(FORMS) == ["format"]
    assert needs(MAIL) == [], "no metric hears a voice"


def test_a_system_is_as_good_as_its_weakest_metric():
    assert weakest(BOARD, "hybrid", needs(DESK))[0] in ("facts", "cites")
    assert weakest(BOARD, "rag", needs(DESK))[1]["value"] == 0
    assert weakest(BOARD, "base", ["facts", "fresh"]) is None, "fresh was not measured"
    assert weakest(BOARD, "unheard of", ["facts"]) is None and weakest(BOARD, "rag", []) is None


def test_the_table_names_the_best_and_what_is_level_with_it_the_simplest_first():
    assert measured(BOARD, DESK) == ["hybrid"]
    assert measured(BOARD, FORMS) == ["tuned", "hybrid"] and measured(BOARD, MAIL) == []
    level = {**BOARD, "systems": {**BOARD["systems"], "hybrid": row(facts=.5, fresh=.6)}}
    assert measured(level, PRICES) == ["extractive", "rag", "hybrid"]


def test_where_nothing_works_the_table_recommends_nothing():
    none = {"profile": "embedded", "costs": {}, "systems": {"base": row(format=0.0)}}
    assert measured(none, FORMS) == []
    assert measured({"systems": {}, "costs": {}}, FORMS) == []


def test_a_year_is_built_kept_up_and_answered():
    assert year(BOARD["costs"]["tuned"], updates=45, questions=36_000) == {
        "build": 80 / 3600, "keep up": 1.0, "answer": 1.0}
    assert year(BOARD["costs"]["prompted"], 12, 100) is None, "no set-up was measured"


def test_above_is_undecided_where_intervals_touch():
    assert above(BOARD, "hybrid", "rag", "format") is True
    assert above(BOARD, "rag", "hybrid", "format") is False
    assert above(BOARD, "rag", "extractive", "facts") is None


def verdicts(board):
    return {claim.number: claim.verdict(board) for claim in CLAIMS}


def test_there_is_a_verdict_for_every_claim_and_it_follows_from_the_table():
    found = verdicts(BOARD)
    assert list(found) == list(range(1, 25))
    assert found[1] == found[3] == found[7] == found[15] == found[19] == "holds here"
    assert found[23] == "holds here" and found[17] == "holds here"
    assert found[5] == "holds in part", "the route of tuned is below its bar"
    assert found[6] == "does not hold here"
    assert found[8] == "not measured" and found[14] == "see the notebook"


def test_a_verdict_turns_with_the_table():
    rows = dict(BOARD["systems"])
    rows["rag"], rows["tuned"] = rows["tuned"], rows["rag"]
    found = verdicts({**BOARD, "systems": rows})
    assert found[1] == found[3] == "does not hold here"
    worse = {**BOARD["systems"], "hybrid": row(facts=.1, cites=.1, fresh=.1, format=.1, route=.1,
                                               abstains=.1, invents=.9)}
    assert verdicts({**BOARD, "systems": worse})[23] == "does not hold here"


def test_without_a_row_nothing_is_claimed():
    empty = verdicts({"profile": None, "systems": {}, "costs": {}})
    assert set(empty.values()) == {"not measured here", "not measured", "see the notebook"}


def test_a_board_is_completed_from_the_stored_run_of_the_same_profile_only(tmp_path):
    import json

    stored = tmp_path / "scoreboard.json"
    stored.write_text(json.dumps(BOARD), encoding="utf-8")
    mine = {"profile": "embedded", "systems": {"rag": row(facts=.9)}, "costs": {"rag": {}}}
    board, added = completed(mine, stored)
    assert board["systems"]["rag"] == row(facts=.9), "what was measured here stays"
    assert "rag" not in added and "hybrid" in added
    assert board["costs"]["hybrid"] == BOARD["costs"]["hybrid"]
    assert completed({"profile": None, "systems": {}, "costs": {}}, stored)[0]["profile"] == \
        "embedded"
    other = {"profile": "t4", "systems": {}, "costs": {}}
    assert completed(other, stored) == (other, [])
    assert completed(mine, tmp_path / "none.json") == (mine, [])


# ---------------------------------------------------------------- the exercises


OPINIONS = {**{question: right for question, (right, *_) in choose.OPINIONS.items()},
            choose.EXAMPLES: "the wrong question"}


def said(capsys, check, *given):
    check(*given)
    return capsys.readouterr().out


def test_opinions_meet_the_table(capsys):
    assert "Not filled in" in said(capsys, choose.check_opinions, {**OPINIONS, choose.EXAMPLES:
                                                                   None}, BOARD)
    text = said(capsys, choose.check_opinions, OPINIONS, BOARD)
    assert text.count("your table agrees") == 3 and "yes." in text
    wrong = {q: "fine-tune" if o == "retrieve" else "retrieve" for q, o in OPINIONS.items()}
    text = said(capsys, choose.check_opinions, {**wrong, choose.EXAMPLES: "enough"}, BOARD)
    assert text.count("your table says otherwise") == 3 and "enough for what?" in text
    assert "answer" in said(capsys, choose.check_opinions, dict.fromkeys(OPINIONS, "both"), BOARD)
    empty = {"systems": {}, "costs": {}}
    assert said(capsys, choose.check_opinions, OPINIONS, empty).count("not measured here yet") == 3


def test_opinions_are_told_what_the_table_says_even_if_it_surprises(capsys):
    rows = {**BOARD["systems"], "rag": BOARD["systems"]["tuned"], "tuned": BOARD["systems"]["rag"]}
    text = said(capsys, choose.check_opinions, OPINIONS, {**BOARD, "systems": rows})
    assert text.count("your table says otherwise") == 3


@pytest.mark.parametrize("case, words", [
    (None, "Not filled in"), ("a desk", "Make it a Case"),
    (Case("x", documents=False, cites=True), "names them"), (Case("x", documents=False), "Nothing"),
    (Case("x", examples=400), "learned badly"), (DESK, "Understood"), (PRICES, "facts, fresh"),
    (MAIL, "nothing on this table. No metric here hears a voice")])
def test_a_case_is_questioned(capsys, case, words):
    assert words in said(capsys, choose.check_case, case)


def pays(train_s, before_ms, after_ms):
    saved = before_ms - after_ms
    return 1000 * train_s / saved if saved > 0 else math.inf


@pytest.mark.parametrize("function, words", [
    (pays, "Right"), (lambda *_: None, "Not filled in"), (lambda t, b, a: t / (b - a), "divides"),
    (lambda t, b, a: t / max(b - a, 1), "1000 of them"),
    (lambda t, b, a: 1000 * t / max(b - a, 1), "never pays"),
    (lambda t, b, a: 5.0, "yours says 5"), (lambda t: 0, "TypeError")])
def test_the_price_of_a_training_is_checked(capsys, function, words):
    assert words in said(capsys, choose.check_pays_after, function)
