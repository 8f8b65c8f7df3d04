"""A reply that is held to a schema fits it, whatever the model would rather say."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import jsonschema
import pytest
import torch

from utils.chunking import Chunk
from utils.documents import CourseError
from utils.loading import load_generator
from utils.profiles import PROFILES
from utils.prompts import grounded
from utils.quoting import Quotation, Sayable
from utils.schema import Held, Piece, Vocabulary, pieces

ROOT = Path(__file__).resolve().parents[1]
HOUSE = json.loads((ROOT / "data" / "style" / "schema.json").read_text(encoding="utf-8"))
CHUNKS = [Chunk("KB-701", "Bells", (), 0, 27, "The small bell costs EUR 9."),
          Chunk("KB-702", "Lamps", (), 0, 30, "Lamp 2 shines for two hours."),
          Chunk("notes", "Notes", (), 0, 20, 'They say "bell" to it.')]
TEXT = {"type": "string"}


@cache
def pocket():
    return load_generator(PROFILES["embedded"])


@cache
def untrained():
    """The same architecture with weights of chance: it would say anything."""
    generator = pocket()
    torch.manual_seed(3)
    model = type(generator.model)(generator.model.config).eval()
    model.generation_config = generator.model.generation_config
    return replace(generator, model=model)


def said(generator, schema, passages=CHUNKS, question="what does the bell cost", **options):
    held = replace(generator, schema=schema)
    return held.replies([grounded(question, passages)], passages=[passages], **options)[0]


@pytest.mark.parametrize("make", [pocket, untrained])
@pytest.mark.parametrize("whole", [True, False])
def test_every_reply_fits_the_schema_of_the_house(make, whole):
    generator = replace(make(), quotes_whole=whole)
    for question in ("bell?", "what does the small bell cost", "[2] lamp", ""):
        reply = said(generator, HOUSE, question=question)
        jsonschema.validate(json.loads(reply), HOUSE)
        assert list(json.loads(reply)) == ["reply", "route", "urgency", "sources"]


def test_set_free_it_does_not():
    with pytest.raises(ValueError):
        json.loads(pocket().reply(grounded("bell?", CHUNKS), passages=CHUNKS))


@pytest.mark.parametrize("most", [60, 80, 160])
def test_there_is_room_to_close_what_was_opened(most):
    for make in (pocket, untrained):
        reply = said(make(), HOUSE, max_new_tokens=most)
        assert json.loads(reply)["route"] in HOUSE["properties"]["route"]["enum"]


def test_in_a_batch_each_reply_is_held_by_itself():
    held = replace(untrained(), schema=HOUSE)
    asked = [grounded(q, CHUNKS[:n]) for n, q in enumerate(("a", "what about lamps, then?"), 1)]
    together = held.replies(asked, passages=[CHUNKS[:1], CHUNKS[:2]])
    assert [json.loads(reply)["urgency"] in ("low", "normal", "high") for reply in together] == \
        [True, True]


def test_only_documents_that_were_shown_and_fit_are_named():
    for make in (pocket, untrained):
        for passages in (CHUNKS, CHUNKS[2:], []):
            named = json.loads(said(make(), HOUSE, passages))["sources"]
            assert set(named) <= {c.document for c in passages} - {"notes"}


@pytest.mark.parametrize("schema, wanted", [
    ({"ok": {"type": "boolean"}}, ({"ok": True}, {"ok": False})),
    ({"n": {"enum": [1, 2]}}, ({"n": 1}, {"n": 2})),
    ({"say": {"enum": ['a "b"', "ü"]}}, ({"say": 'a "b"'}, {"say": "ü"}))])
def test_choices_of_every_kind(schema, wanted):
    reply = said(untrained(), {"type": "object", "properties": schema})
    assert json.loads(reply) in wanted


@pytest.mark.parametrize("schema, words", [
    ({"type": "array"}, "type object"), ({"type": "object"}, "properties"),
    ({"type": "object", "properties": {"n": {"type": "number"}}}, '"n"'),
    ({"type": "object", "properties": {"l": {"type": "array", "items": {"type": "object"}}}},
     '"l"')])
def test_what_cannot_be_held_is_named(schema, words):
    with pytest.raises(CourseError, match=words):
        pieces(schema)


def test_the_pieces_are_the_schema_in_its_order():
    schema = {"type": "object", "properties": {"a": TEXT, "b": {"enum": ["x", "y"]}}}
    assert pieces(schema) == [
        Piece("put", '{"a": "'), Piece("words"), Piece("put", '", "b": "'),
        Piece("choice", options=("x", "y")), Piece("put", '"}')]


# ---------------------------------------------------------------- token by token

LETTERS = ["", *'{}":, ab[]\\\n', ',"', "<end>"]  # 0 is nothing, one breaks JSON, the last ends
NUMBER = {letter: n for n, letter in enumerate(LETTERS)}


def fence(schema, room=40, documents=(), quotation=None):
    words = Vocabulary.read(["" if w == "<end>" else w for w in LETTERS],
                            lambda text: [NUMBER[letter] for letter in text],
                            {NUMBER["<end>"]})
    return Held(pieces({"type": "object", "properties": schema}), words,
                quotation or Quotation(()), documents, room)


def spoken(held, wishes, most=40):
    """What comes out where the model would say these letters, best first at every step."""
    out = ""
    for step in range(most):
        wish = wishes[min(step, len(wishes) - 1)]
        logits = torch.zeros(1, len(LETTERS))
        for rank, letter in enumerate(wish if isinstance(wish, list) else [wish]):
            logits[0, NUMBER[letter]] = 9 - rank
        token = held.chosen([int(logits.argmax())], logits, [])[0]
        if LETTERS[token] == "<end>":
            return out
        out += LETTERS[token]
    return out


def test_a_quotation_mark_or_the_end_of_the_turn_closes_a_text():
    for over in ('"', "<end>"):
        wishes = ["a"] * 9 + [over] + ["b"] * 9  # seven letters are put there
        assert spoken(fence({"a": TEXT}), wishes) == '{"a": "aa"}'


def test_a_text_has_at_least_one_token_and_no_line_break_or_escape():
    assert spoken(fence({"a": TEXT}), [["<end>", '"', "b"]] * 8 + ["<end>"]) == '{"a": "b"}'
    assert spoken(fence({"a": TEXT}), [["\n", "\\", "a"]] * 9 + ["<end>"]) == '{"a": "aa"}'


def test_behind_a_quotation_stands_no_mark_that_would_break_the_json():
    sentence = Sayable(tuple(NUMBER[letter] for letter in "bab"), 1, said_by="KB-1")
    marks = {NUMBER[mark] for mark in (',"', ",", '"')}
    wishes = ["b"] * 8 + ["a", "b", [',"', ",", "a"], "<end>"]
    quotation = Quotation((sentence,), marks, circles=True)
    assert spoken(fence({"a": TEXT}, quotation=quotation), wishes) == '{"a": "bab,"}'


def test_an_endless_text_is_closed_in_time():
    said = spoken(fence({"a": TEXT, "b": {"enum": ["a", "b"]}}, room=30), ["a"])
    assert json.loads(said)["b"] == "a" and len(said) < 30


def test_the_likeliest_of_the_choices_is_taken_and_no_other_word():
    schema = {"b": {"enum": ["aa", "ab", "ba"]}}
    assert spoken(fence(schema), ["b"]) == '{"b": "ba"}'
    assert spoken(fence(schema), [["{", "a", "b"]]) == '{"b": "aa"}'
    assert spoken(fence(schema), ["a"] * 8 + ["b"]) == '{"b": "ab"}'


def test_a_guess_that_is_wrong_ends_the_step_and_one_that_is_right_goes_on():
    held = fence({"a": TEXT})
    start = [NUMBER[letter] for letter in '{"a']
    logits = torch.zeros(4, len(LETTERS))
    assert held.rest() == tuple(NUMBER[letter] for letter in '{"a": "')
    assert held.chosen([0, 0, 0, 0], logits, start) == [NUMBER[x] for x in '{"a"']
    assert held.chosen([0, 0], logits, [NUMBER["b"]]) == [NUMBER[":"]]
