"""The graders agree with people, and with plain sense on every kind of value.

`labelled_replies.jsonl` holds replies with the verdicts of a person. A row marked "blind" gives a
right value to the wrong thing, which the grader says it cannot see; such rows are counted apart.
"""

import json
import random
import time
from pathlib import Path

import pytest

from utils import values
from utils.grading import abstains, cited_numbers, facts, house_json, says, spoken, tokens

LABELLED = [json.loads(line) for line in
            (Path(__file__).parent / "labelled_replies.jsonl").read_text("utf-8").splitlines()]


def groups(answers: list) -> tuple[tuple[str, ...], ...]:
    if answers and not isinstance(answers[0], list):
        answers = [answers]
    return tuple(tuple(group) for group in answers)


def verdicts(rows: list[dict]) -> list[tuple[bool, bool, str]]:
    """(the grader's, the person's, what it is about) for every facts and abstains verdict."""
    found = []
    for row in rows:
        about = f"{row['answers']} | {row['reply']} | {row['why']}"
        if row["facts"] is not None:
            found.append((facts(row["reply"], groups(row["answers"])), row["facts"],
                          f"facts, a person says {row['facts']}: {about}"))
        found.append((abstains(row["reply"]), row["abstains"],
                      f"abstains, a person says {row['abstains']}: {about}"))
    return found


def agreement(found: list[tuple[bool, bool, str]]) -> float:
    return sum(ours == theirs for ours, theirs, _ in found) / len(found)


def disagreements(found: list[tuple[bool, bool, str]]) -> str:
    return "\n".join(about for ours, theirs, about in found if ours != theirs)


# ---------------------------------------------------------------- agreement with people


def test_the_labelled_replies_are_many_and_mixed():
    right = [row["facts"] for row in LABELLED if row["facts"] is not None]
    assert len(LABELLED) >= 250
    assert 0.35 < sum(right) / len(right) < 0.65
    assert sum(row["abstains"] for row in LABELLED) >= 30


def test_agreement_on_what_the_grader_can_see():
    found = verdicts([row for row in LABELLED if not row.get("blind")])
    assert agreement(found) >= 0.98, f"{agreement(found):.3f}\n{disagreements(found)}"


def test_agreement_over_everything():
    found = verdicts(LABELLED)
    assert agreement(found) >= 0.975, f"{agreement(found):.3f}\n{disagreements(found)}"


def test_blind_rows_are_few_and_are_what_they_are_said_to_be():
    """Each is called right by the grader and wrong by the person, and never the other way round."""
    blind = [row for row in LABELLED if row.get("blind")]
    assert len(blind) <= len(LABELLED) / 20
    for row in blind:
        assert row["facts"] is False and facts(row["reply"], groups(row["answers"])), row["reply"]


def test_shuffled_labels_do_not_agree():
    """The agreement comes from the labels, not from one verdict that is nearly always right."""
    found = verdicts(LABELLED)
    for seed in range(5):
        theirs = [verdict for _, verdict, _ in found]
        random.Random(seed).shuffle(theirs)
        pairs = zip(found, theirs, strict=True)
        assert agreement([(ours, their, "") for (ours, _, _), their in pairs]) < 0.7


# ---------------------------------------------------------------- values


def right(answer: str, *replies: str) -> list:
    return [pytest.param(answer, reply, True, id=f"{answer} = {reply}") for reply in replies]


def wrong(answer: str, *replies: str) -> list:
    return [pytest.param(answer, reply, False, id=f"{answer} ≠ {reply}") for reply in replies]


@pytest.mark.parametrize("answer, reply, verdict", [
    *right("1,500", "1500", "1'500 of them", "1 500", "fifteen hundred", "1500.00",
           "one thousand five hundred"),
    *wrong("1,500", "150", "15,000", "1.5", "11,500", "1,500.50"),
    *right("250", "two hundred and fifty", "250.0"), *wrong("250", "two hundred", "fifty"),
    *right("a thousand", "1,000 positions"), *right("16,000 km", "16.000 km"),
    *right("45", "forty-five", "Forty five."), *wrong("45", "145", "4.5", "45.5", "forty"),
    *right("4711234", "Number 4711234."), *wrong("4711234", "Number 4711235."),
    *right("8", "8 sheets", "eight sheets"), *wrong("8", "The Pressa 8 holds 12.", "on 8 June"),
    *right("first Tuesday", "the 1st Tuesday"), *wrong("5th", "We have 5 bikes."),
    *right("-15 °C", "minus 15 °C", "-15 degrees Celsius"), *wrong("-15 °C", "15 °C"),
    *wrong("15 °C", "-15 °C", "15 °F"), *right("38 to 50", "38–50", "38-50 percent"),
    *right("12 of 15", "12 out of 15"), *right("G7", "Code G7."), *wrong("G7", "Code G17.")])
def test_numbers(answer, reply, verdict):
    assert says(reply, answer) is verdict, tokens(reply)


@pytest.mark.parametrize("answer, reply, verdict", [
    *right("2 years", "24 months", "two-year", "a two year guarantee"),
    *wrong("2 years", "2 months", "12 months"),
    *right("90 minutes", "1.5 hours", "1½ hours", "an hour and a half", "1 h 30 min", "1 hour 30",
           "1 hour and 30 minutes", "one and a half hours", "90min"),
    *wrong("90 minutes", "90 seconds", "an hour", "30 minutes, 60 minutes"),
    *right("30 minutes", "half an hour", "a half hour", "½ hour"),
    *wrong("1 hour", "half an hour", "a quarter of an hour"),
    *right("36 hours", "a day and a half"), *right("2 weeks", "14 days", "a fortnight: 14 days"),
    *right("5 working days", "five business days"), *wrong("5 working days", "5 weeks"),
    *right("2.5 kg", "2,500 g", "2,5 kg", "2.50 kilos"), *wrong("2.5 kg", "25 kg", "2.5 pounds"),
    *right("3 metres", "300 cm", "three meters", "3m"), *wrong("3 metres", "3 mm"),
    *right("0.5 litres", "half a litre", "500 ml"), *right("40 Nm", "forty newton metres"),
    *right("45 km/h", "45 kilometres per hour", "45 kph"), *wrong("80 km", "80 km/h", "80 miles"),
    *right("15%", "15 percent", "fifteen per cent"), *wrong("15%", "EUR 15", "1.5 %", "150%"),
    *right("3 to 5 days", "3-5 days", "between 3 and 5 days", "3 days to 5 days"),
    *right("5 °C to 35 °C", "between 5 and 35 °C"), *right("25 kg", "A 25 kg bag."),
    *right("45 days", "FOR 45 DAYS AFTER DELIVERY"), *wrong("45 days", "45", "45 weeks")])
def test_units(answer, reply, verdict):
    assert says(reply, answer) is verdict, tokens(reply)


@pytest.mark.parametrize("answer, reply, verdict", [
    *right("EUR 49", "€49", "49 €", "49 euros", "49.00 EUR", "forty-nine euros", "€ 49,00"),
    *wrong("EUR 49", "EUR 490", "EUR 4.90", "CHF 49", "49 days", "£49"),
    *right("EUR 7.50", "7,50 €", "EUR 7.5"), *wrong("EUR 7.50", "EUR 75", "EUR 7.05", "7.50 am"),
    *right("EUR 1,250", "1.250 €", "EUR 1.250", "€1250", "1 250 euros", "EUR 1,250.00"),
    *wrong("EUR 1,250", "EUR 1.25", "EUR 12.50"),
    *right("EUR 50", "| LC-21 | Bleed one brake | 0.6 | EUR 50 |", "OX.192, EUR 50",
           "Hours: 0.6; Price: EUR 50"),
    *wrong("EUR 192", "OX.192, EUR 50"), *right("£12.50", "12.50 pounds"),
    *right("EUR 4 per day", "EUR 4 a day", "4 euros per day"),
    *right("EUR 6", "EUR 4 to 6"), *wrong("EUR 6", "EUR 4 to 6 km")])
def test_money(answer, reply, verdict):
    assert says(reply, answer) is verdict, tokens(reply)


@pytest.mark.parametrize("answer, reply, verdict", [
    *right("14:00", "2 pm", "2:00 p.m.", "14.00", "two in the afternoon", "2 o'clock in the "
           "afternoon"),
    *wrong("14:00", "2 am", "4 pm", "14 days", "EUR 14.00"),
    *right("11:30", "11.30 am", "half past eleven in the morning"), *wrong("11:30", "11:30 pm"),
    *right("8:15", "08:15", "quarter past eight in the morning"), *right("12:00", "at noon"),
    *right("9 pm", "21:00"), *right("8:00-17:00", "8:00 to 17:00", "from 8 am to 5 pm")])
def test_times(answer, reply, verdict):
    assert says(reply, answer) is verdict, tokens(reply)


@pytest.mark.parametrize("answer, reply, verdict", [
    *right("3 March 2026", "March 3, 2026", "3rd March 2026", "the 3rd of March 2026",
           "3 Mar. 2026", "2026-03-03", "3.3.2026"),
    *wrong("3 March 2026", "13 March 2026", "3 May 2026", "3 March 2025", "2026-03-13"),
    *right("May 5", "5 May"), *wrong("14", "on 14 June"),
    *right("Tuesday", "Tuesdays", "Tue."), *wrong("Tuesday", "Thursday"),
    *right("Monday to Friday", "Mon-Fri", "Monday – Friday", "Mondays through Fridays"),
    *wrong("Monday to Friday", "Monday to Saturday", "Monday and Friday")])
def test_dates_and_days(answer, reply, verdict):
    assert says(reply, answer) is verdict, tokens(reply)


@pytest.mark.parametrize("answer, reply, verdict", [
    *right("WF-2207", "WF 2207", "wf-2207", "WF2207", "Take WF-2207."),
    *wrong("WF-2207", "WF-2270"),
    *right("elm-garden-7", "It is elm-garden-7."), *wrong("elm-garden-7", "elm-garden-1"),
    *right("0800 555 0142", "0800-555-0142", "08005550142"),
    *wrong("0800 555 0142", "0800 555 0124"),
    *right("Zone 2", "in zone 2", "You are in Zone 2"), *right("zone 2", "You are in Zone 2."),
    *right("Lark 2", "for the Lark 2 alone"), *wrong("Lark 2", "the Lark 1"),
    *wrong("2", "The Lark 2 has a charger."), *right("Ingrid Solheim", "Ms Solheim (Ingrid)"),
    *right("Škofja Loka", "in Škofja Loka"), *right("half price", "It is replaced at half price."),
    *right("on the underside", "on its underside"), *wrong("low pressure", "high pressure"),
    *wrong("the", "the bell")])
def test_codes_names_and_words(answer, reply, verdict):
    assert says(reply, answer) is verdict, tokens(reply)


def test_lists_need_one_of_every_group():
    answers = (("red",), ("green",), ("grey", "gray"))
    assert facts("Red, green and grey.", answers)
    assert facts("- gray\n- green\n- red", answers)
    assert not facts("Red and green.", answers)
    assert not facts("Red and green, but no longer grey.", answers)
    assert facts("Not only on Sunday but on Monday too.", (("Sunday",), ("Monday",)))
    assert not facts("anything", ())


@pytest.mark.parametrize("answer, reply, verdict", [
    *right("45 days", "Not 30 but 45 days.", "It is no longer 30 days: it is 45 days.",
           "Only 30? No, 45 days.", "45 days instead of 30 days.",
           "It used to be 30 days and is 45 days now."),
    *wrong("30 days", "Not 30 days but 45 days.", "It is no longer 30 days: it is 45 days.",
           "You do not have 30 days.", "45 days instead of 30 days.", "It used to be 30 days.",
           "It isn't 30 days."),
    *wrong("30 days", "It was raised from 30 days to 45."),
    *right("45 days", "raised from 30 to 45 days"),
    *right("Tomas Reed", "Tomas Reed, who followed Ingrid Solheim"),
    *wrong("Ingrid Solheim", "Tomas Reed, who followed Ingrid Solheim"),
    *wrong("WF-2207", "WF-2207 does not fit."), *right("not included", "The bell isn't included."),
    *right("6", "no more than 6 people"), *right("14:00", "not before 14:00")])
def test_negation(answer, reply, verdict):
    assert says(reply, answer) is verdict, tokens(reply)


def test_the_wrong_value_beside_the_right_one():
    """'not 30 but 45 days' is right for 45 days and wrong for 30, in both ways to write it."""
    for reply in ("Not 30 but 45 days.", "Not 30 days but 45 days."):
        assert facts(reply, (("45 days",),)) and not facts(reply, (("30 days",),))


YES = ["Yes.", "Yes, at 30 degrees.", "Sure, no problem!", "Of course, no extra charge.",
       "You can, if the seal is not broken.", "You can do that without a key.",
       "That is no problem.", "Thanks for asking! We do ship there. Ride well, your team",
       "Thanks, yes.",
       "Can you pause it? Yes, you can.", "Not only that is possible: all is."]
NO = ["No.", "We do not.", "Unfortunately we don't.", "Of course not.", "That won't work.",
      "Thanks for asking! We do not ship there. Ride well, your team", "Sorry, no dogs please.",
      "Norway is not among them.", "Never at night.", "It is excluded."]
NEITHER = ["", "Can you pause it? Good question!", "I could not find that in our documents.",
           "I don't know."]


@pytest.mark.parametrize("reply, verdict", [(r, "yes") for r in YES] + [(r, "no") for r in NO]
                         + [(r, None) for r in NEITHER])
def test_yes_and_no(reply, verdict):
    for answer in ("yes", "no"):
        assert facts(reply, ((answer, "gold that is not said"),)) is (verdict == answer)


def test_a_denied_alternative_is_no_plain_no():
    assert facts("There is no fee.", (("no", "free"),))
    assert not facts("It isn't free: it costs EUR 8.", (("no", "free"),))


# ---------------------------------------------------------------- abstaining


DECLINES = [
    "I don't know.", "No idea.", "Not in the documents.", "Unknown.", "I cannot say.",
    "I could not find this in our documents, so I have passed your question to a colleague.",
    "Thanks for asking about the Lark 2. I could not find its weight in our documents.",
    "I don't have enough information to answer that.", "There is no information about parking.",
    "The context provided does not include the price of the helmet.",
    "None of the documents mentions a discount for pensioners.", "It is not mentioned.",
    "The passages don't discuss refunds.", "My documents say nothing about this.",
    "That information isn't available.", "Regrettably, I cannot provide an answer.",
    "The question cannot be answered from the documents.", "That's not something I know.",
    "I'm unable to help with that question.", "I do not know, but a colleague will call you.",
    '{"reply": "I could not find this in our documents.", "route": "orders"}']
ANSWERS = [
    "", "It costs EUR 30.", "No, the battery is not included.", "There is no vegan version.",
    "If you do not answer within 30 days, we store the bike.", "If there is no answer, ring again.",
    "Crashes are not covered by the warranty.", "The controller cannot know its temperature.",
    "Hand it in, even if you bought nothing there; it is free.", "Linen is not provided.",
    "You do not need to say why you return it.", "We do not answer the telephone on Sundays.",
    "Relatives get no information unless a form is in the file.", "Do not guess the torque.",
    "The bike was stolen and not found.", "During a pause the module is silent.",
    "It costs EUR 30. I have no information on delivery.",
    "I'm not sure, but it should be 25 euros.",
    "Yes, it fits the Heron. The documents do not mention the Siskin.",
    "I could not find the blue one, but the red one costs EUR 20.",
    '{"reply": "It costs EUR 9.", "note": "I do not know"}']


@pytest.mark.parametrize("reply, verdict", [(r, True) for r in DECLINES]
                         + [(r, False) for r in ANSWERS])
def test_abstaining(reply, verdict):
    assert abstains(reply) is verdict


def test_what_is_answered_before_or_after_a_but_counts():
    assert facts("They are made in Porto. The documents do not say since when.", (("Porto",),))
    assert facts("I don't know the brand, but the password is elm-garden-7.", (("elm-garden-7",),))
    assert not facts("I could not find how long 45 days are counted.", (("45 days",),))
    assert not facts("I do not know whether it is allowed.", (("no", "not allowed"),))


# ---------------------------------------------------------------- JSON and other forms


def test_only_the_reply_of_a_house_reply_is_read():
    house = {"reply": "It takes 14 days.", "route": "returns", "urgency": "low",
             "sources": ["KB-045"]}
    assert spoken(json.dumps(house)) == "It takes 14 days."
    assert facts(json.dumps(house), (("14 days",),))
    for outside in ("returns", "low", "KB-045"):
        assert not facts(json.dumps(house), ((outside,),))
    assert spoken(json.dumps({**house, "reply": None})) == ""
    assert facts(json.dumps({**house, "reply": "Yes."}), (("yes",),))


@pytest.mark.parametrize("reply", ["45 days", '{"reply": "45 days', '["45 days"]', '"45 days"',
                                   '{"answer": "45 days"}',
                                   "```json\n{\"reply\": \"45 days\"}\n```"])
def test_what_is_no_house_reply_is_read_as_it_stands(reply):
    assert spoken(reply) == reply
    assert facts(reply, (("45 days",),))


def test_house_json_is_an_object_or_nothing():
    assert house_json(' {"reply": "x"}\n') == {"reply": "x"}
    for reply in ("", "x", "[1]", "null", "3", '{"reply": "x"} and more', "[" * 100_000):
        assert house_json(reply) is None


def test_cited_numbers():
    assert cited_numbers("A [2], b [1][2] and [12]; not [a], [1234] or (3).") == [2, 1, 12]
    assert not says("It is long [45].", "45")


@pytest.mark.parametrize("reply", [
    "0" * 30_000, "9" * 400 + " may", "1 " * 10_000, "[" * 50_000, "- " * 10_000,
    "not the " * 5_000, "I do not " * 3_000, "thanks " * 5_000, "a hundred and " * 3_000,
    "the documents " * 3_000, "½ hour and a half " * 2_000, "{" * 20_000,
    "№5 at= s= | = date= " * 1_000], ids=lambda reply: reply[:12].strip())
def test_a_model_caught_in_a_loop_is_graded_in_time(reply):
    start = time.perf_counter()
    facts(reply, (("45 days", "yes"),))
    abstains(reply)
    assert time.perf_counter() - start < 5


def test_random_noise_is_graded():
    draw = random.Random(0)
    pieces = " ".join(row["reply"] for row in LABELLED).split() + [
        "a", "to", "and", "EUR", "€", "½", "hour", "half", "an", "of", "hundred", "-", "+", "|",
        "\n", "°C", "1,000", "second", "3rd", "=", "2026-13-99", "\u2028",
        "n't", "“"]
    for _ in range(2000):
        reply = " ".join(draw.choice(pieces) for _ in range(draw.randint(0, 25)))
        answer = " ".join(draw.choice(pieces) for _ in range(draw.randint(1, 4)))
        assert facts(reply, ((answer,),)) in (True, False) and abstains(reply) in (True, False)


def test_every_number_word_is_read_as_its_number():
    for number in (*range(1, 120), 200, 345, 1_000, 2_719, 40_012):
        large = [f"{in_words(number // 1000)} thousand"] if number >= 1000 else []
        large += [f"{in_words(number // 100 % 10)} hundred"] if number // 100 % 10 else []
        rest = [in_words(number % 100)] if number % 100 else []
        spelled = " and ".join(([" ".join(large)] if large else []) + rest)
        assert tokens(spelled) == (str(number),), spelled


def in_words(number: int) -> str:
    """A number below 100 in words."""
    ones, tens = ({v: k for k, v in names.items()} for names in (values.ONES, values.TENS))
    if number < 20:
        return ones[number]
    return tens[number // 10 * 10] + (f"-{ones[number % 10]}" if number % 10 else "")


@pytest.mark.parametrize("answer, reply, verdict", [
    ("18 °C", "It is kept at −18 °C.", False), ("-18 °C", "It is kept at −18 °C.", True),
    ("−18 °C", "at -18 °C", True), ("250 kg", "0,250 kg", False), ("125 ml", "0,125 l", True),
    ("2 hours", "1/2 hour", False), ("30 minutes", "1/2 hour", True),
    ("4 litres", "1/4 litre", False),
    ("1/4", "between 1 and 4 turns", False), ("90 minutes", "1 1/2 hours", True),
    ("0.25 litre", "¼ litre", True), ("2.5 hours", "2 ½ hours", True), ("24/7", "open 24/7", True),
    ("3/4/2025", "on 3/4/2025", True), ("EUR 2", "EUR 2 million", False),
    ("EUR 2 million", "two million euros", True), ("EUR 2,000,000", "EUR 2 million", True),
    ("040 1234567", "Call 040 1234567 (9-17 h).", True),
    ("040 1234567", "Call 040 1234567 - 24/7.", True),
    ("040 1234567", "040 1234567 / 040 7654321", True), ("040 1234567", "040 1234568", False),
    ("0451 234567", "0451-23 45 67", True), ("1 June 2025", "2025-06-01 14:00", True),
    ("2025-06-01", "2025-06-01 - 2025-06-30", True), ("19 %", "VAT 19 %", True),
    ("5 kg", "MAX 5 kg", True), ("WF-2207", "code WF 2207", True)])
def test_signs_fractions_and_what_stands_beside_a_number(answer, reply, verdict):
    assert says(reply, answer) is verdict
