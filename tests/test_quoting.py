"""A quotation that was begun is said to its end; everything else stays the model's own."""

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from utils import generation, guessing
from utils.chunking import Chunk
from utils.generation import Generator
from utils.loading import load_generator
from utils.profiles import PROFILES, choose
from utils.prompts import grounded
from utils.quoting import BEGUN, CIRCLE, NAMED, Quotation, Sayable, marks, sayable

ROOT = Path(__file__).resolve().parents[1]
ROW = "Code: LC-46; Job: Firmware update (by cable); Time (h): 0.2; Price: EUR 12"
SHELF = [Chunk("jobs", "Jobs", ("Workshop",), 0, len(ROW), ROW),
         Chunk("cafe", "Café", (), 0, 62, "Dogs are welcome on the terrace (leads on). Cats are "
                                          "not, sorry.")]
ASKED = ["LC-46 - cost?", "May I bring my dog to the terrace?"]


@pytest.fixture(scope="module")
def generator() -> Generator:
    return load_generator(choose("embedded"))


def following(*sentences, begun=BEGUN) -> Quotation:
    return Quotation([Sayable(tuple(s), begun) for s in sentences])


def test_a_reply_is_free_until_a_sentence_has_begun_and_after_its_end():
    reply = following([1, 2, 3, 4, 5, 6])
    for token, ways in ((9, set()), (1, set()), (2, set()), (3, set()), (4, {5}), (5, {6}),
                        (6, set()), (1, set())):
        reply.read([token])
        assert reply.ways_on() == ways, token


def test_what_begins_like_two_sentences_may_become_either():
    reply = following([1, 2, 3, 4, 5], [1, 2, 3, 4, 6, 7], [1, 2, 9, 9, 9])
    reply.read([1, 2, 3, 4])
    assert reply.ways_on() == {5, 6} and reply.rest() == ()
    reply.read([6])
    assert reply.ways_on() == {7} and reply.rest() == (7,)


def test_a_sentence_that_another_goes_on_from_may_end_there():
    reply = following([1, 2, 3, 4], [1, 2, 3, 4, 5])
    reply.read([1, 2, 3, 4])
    assert reply.ways_on() == set()


def test_what_was_begun_longest_ago_leads_and_a_place_named_twice_is_kept():
    reply = following([1, 2, 3, 4, 5, 2, 3, 4, 6], [2, 3, 4, 7, 8], begun=3)
    reply.read([1, 2, 3, 4, 5, 2, 3, 4])
    assert reply.ways_on() == {6}  # and not 5 or 7, which followed the same words elsewhere


def test_of_the_words_that_may_follow_the_likeliest_is_said():
    reply, logits = following([1, 2, 3, 4, 5], [1, 2, 3, 4, 6]), torch.zeros(3, 10)
    logits[1, 6] = 1.0
    # the model would say 4, then 9 and 9
    assert reply.chosen([4, 9, 9], logits, [4, 6]) == [4, 9]  # nothing has begun: its own words
    reply = following([1, 2, 3, 4, 5], [1, 2, 3, 4, 6])
    reply.read([1, 2, 3])
    assert reply.chosen([4, 9, 9], logits, [4, 6]) == [4, 6, 9]
    reply = following([1, 2, 3, 4, 5], [1, 2, 3, 4, 6])
    reply.read([1, 2, 3])
    assert reply.chosen([4, 9, 9], logits, [4, 5]) == [4, 6]  # a wrong guess ends the step


def test_a_number_binds_as_long_as_nothing_has_been_quoted():
    numbered = Sayable((70, 1, 71, 5, 6, 7), 3, opening=True, said_by="KB-1")  # "[1] five six …"
    for opening in ([], [9, 9]):  # a reply of the house greets first
        reply = Quotation([numbered])
        reply.read([*opening, 70, 1])
        assert reply.ways_on() == set()  # which number is the model's own choice
        reply.read([71])
        assert reply.ways_on() == {5} and reply.rest() == (5, 6, 7)
        reply.read([5, 6, 7])
        assert reply.ways_on() == set()
        reply.read([70, 1, 71])
        assert reply.ways_on() == set(), "a list of sources may say [1] and close"


def test_who_quotes_first_may_name_the_number_behind_it():
    reply = Quotation([Sayable((1, 2, 3, 4, 5), BEGUN, said_by="KB-2"),
                       Sayable((70, 1, 71, 1, 2, 3, 4, 5), 3, opening=True, said_by="KB-2")])
    reply.read([1, 2, 3, 4, 5, 70, 1, 71])
    assert reply.ways_on() == set()


def test_in_the_models_own_tokens_a_number_behind_a_greeting_quotes(generator):
    follower = Quotation(sayable(SHELF, generator._ids))
    follower.read(generator._ids('{"reply": "Thanks for asking! [1]'))
    assert generator.tokenizer.decode(follower.rest()) == " " + ROW
    follower = Quotation(sayable(SHELF, generator._ids))
    follower.read(generator._ids('{"reply": "Nobody knows.", "sources": [2]}'))
    assert follower.ways_on() == set(), "a list that closes names a number and quotes nothing"


def test_behind_a_sentence_there_comes_a_mark_and_not_one_more_word():
    text, longer = (Sayable(tokens, BEGUN, said_by="KB-1")
                    for tokens in ((1, 2, 3, 4, 5), (1, 2, 3, 4, 5, 6)))
    name = Sayable((8, 9), 1, name_of="KB-1")
    reply = Quotation([text, name], marks={90, 91})
    reply.read([1, 2, 3, 4, 5])
    assert reply.ways_on() == {90, 91} and reply.rest() == ()
    reply.read([90])
    assert reply.ways_on() == set(), "behind the mark the reply is free"
    reply.read([8, 9])
    assert reply.ways_on() == set(), "a name is no sentence"
    reply = Quotation([text, longer], marks={90})
    reply.read([1, 2, 3, 4, 5])
    assert reply.ways_on() == {90, 6}, "unless another sentence goes on"


def test_marks_end_or_close_and_are_neither_words_nor_what_goes_on():
    assert marks([".", ")", '.",', "\n", " [", '"}', " ", "", " the", "7", "\x11", "\ufffd", "é",
                  "–", " (", ";", ":", "|"]) == {0, 1, 2, 3, 4, 5}


def test_the_pocket_model_ends_its_turn_with_a_token_that_may_stand_behind_a_row(generator):
    assert generator._ends < generator._marks < set(range(len(generator.tokenizer)))
    assert not {generator._ids(w)[0] for w in ("a", " the", "7")} & generator._marks


def test_what_was_quoted_is_named_first_and_then_the_reply_is_free():
    names = [Sayable((50, 51, n, 9), NAMED, name_of=f"KB-{n}") for n in (1, 2, 3)]
    reply = Quotation([Sayable((1, 2, 3, 4, 5), BEGUN, said_by="KB-2"),
                       Sayable((1, 2, 3, 4, 6), BEGUN, said_by="KB-3"), *names])
    reply.read([50, 51])
    assert reply.ways_on() == {1, 2, 3}  # nothing was quoted: any that was shown
    reply.read([1, 9, 1, 2, 3, 4, 5, 50, 51])
    assert reply.ways_on() == {2} and reply.rest() == (2, 9)
    reply.read([2, 9, 50, 51])
    assert reply.ways_on() == {1, 2, 3}, "a second source is the reply's own choice"
    reply.read([3, 9, 1, 2, 3, 4])
    assert reply.ways_on() == {5, 6}, "half a sentence is no quotation yet"


def test_in_the_models_own_tokens_a_quoted_document_is_named_first(generator):
    shelf = [Chunk("KB-17", "Dogs", (), 0, 50, "Dogs are welcome on the terrace on a short lead."),
             Chunk("KB-23", "Cats", (), 0, 40, "Cats are not welcome at the bar.")]
    begun = '[1] Dogs are welcome on the terrace on a short lead.", "sources": ["KB-'
    follower = Quotation(sayable(shelf, generator._ids))
    follower.read(generator._ids(begun))
    assert follower.unnamed == {"KB-17"}
    one, seven, two = (generator._ids(digit)[0] for digit in "172")
    assert follower.ways_on() == {one} and follower.rest() == (one, seven)
    follower.read([one, seven, *generator._ids('", "KB-')])
    assert follower.ways_on() == {one, two}


def test_who_names_a_passage_quotes_that_one(generator, monkeypatch):
    """Of rows that differ in a digit, this tuned state of the model slips into the neighbour."""
    from peft import PeftModel

    slipping = replace(generator, model=PeftModel.from_pretrained(
        deepcopy(generator.model), ROOT / "data" / "recipes" / "tuned_adapter").merge_and_unload())
    rows = [f"Code: OX.13{n}; Option: rack; Price: EUR {n}5" for n in (1, 2, 3)]
    shelf = [Chunk("prices", "Prices", (), 0, len(row), row) for row in rows]
    asked = grounded("price of OX.131?", shelf)
    assert slipping.reply(asked, 60, shelf) == f"[1] {rows[0]}"
    monkeypatch.setattr(generation, "sayable", lambda chunks, tokens_of: [
        what for what in sayable(chunks, tokens_of) if not what.opening])
    assert slipping.reply(asked, 60, shelf) == f"[1] {rows[2]}", "find a row that slips"


def test_sentences_and_names_are_sayable_and_short_ones_are_not_held(generator):
    words = [(generator.tokenizer.decode(s.tokens), s.begun) for s in sayable(
        [*SHELF, Chunk("KB-17", "Yes", (), 0, 4, "Yes.")], generator._ids)]
    assert (" " + ROW, BEGUN) in words
    assert (" Dogs are welcome on the terrace (leads on", BEGUN) in words  # ")." is one token
    assert ("KB-17", NAMED) in words and (" Yes", BEGUN) not in words
    assert ("[3] Yes", len(generator._ids("[3]"))) in words


def test_the_pocket_model_says_a_begun_row_to_its_end(generator):
    messages = [grounded(q, SHELF) for q in ASKED]
    row, dogs = generator.replies(messages, 60, passages=[SHELF] * 2)
    assert row.startswith("[1]") and ROW in row
    assert "Dogs are welcome on the terrace (leads on)." in dogs
    free = replace(generator, quotes_whole=False)
    assert ROW not in free.reply(messages[0], 60), "nothing was mended: find a harder row"


def test_who_is_not_held_says_the_same_with_passages_and_without(generator):
    free = replace(generator, quotes_whole=False)
    messages = [grounded(q, SHELF) for q in ASKED]
    assert free.replies(messages, 60, passages=[SHELF] * 2) == generator.replies(messages, 60)


@pytest.mark.parametrize("guessed", [0, 1, 10])
def test_guesses_alone_and_in_a_stream_say_the_same(generator, monkeypatch, guessed):
    messages = [grounded(q, SHELF) for q in ASKED]
    said = generator.replies(messages, 60, passages=[SHELF] * 2)
    monkeypatch.setattr(guessing, "GUESSED", guessed)
    assert [generator.reply(m, 60, SHELF) for m in messages] == said
    assert ["".join(generator.stream(m, 60, SHELF)).strip() for m in messages] == said


def test_only_the_pocket_model_is_held(monkeypatch, tmp_path):
    assert [p.name for p in PROFILES.values() if p.quotes_whole] == ["embedded"]
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    monkeypatch.setenv("COURSE_GENERATOR", str(tmp_path))
    assert not choose("embedded").quotes_whole, "another model in its place is left free"


def test_a_reply_says_the_same_words_twice_and_not_a_third_time():
    assert CIRCLE == 4
    wheel = torch.tensor([[0.0, 9.0, 8.0, 7.0]])  # the likeliest is 1, then 2, then 3
    reply = Quotation((), circles=False)
    said = []
    for _ in range(12):
        said += reply.chosen([1], wheel, [])
    assert said[:5] == [1] * 5 and said[5] == 2, "the third time 1 1 1 1 would be said"
    assert not any(said[n:n + 4] == said[m:m + 4] == said[k:k + 4]
                   for n in range(9) for m in range(n) for k in range(m))
    free = Quotation(())
    assert sum((free.chosen([1], wheel, []) for _ in range(12)), []) == [1] * 12
    row = Quotation([Sayable((5, *[1] * 9), 1)], circles=False)  # what is quoted may repeat itself
    row.read([5])
    assert sum((row.chosen([1], wheel, []) for _ in range(9)), []) == [1] * 9


def test_in_a_stream_too_nobody_goes_in_circles():
    scores = torch.tensor([[0.0, 9.0, 8.0, 7.0]])
    hold = Quotation((), circles=False).hold(read=2)
    ids = torch.tensor([[7, 7]])
    for _ in range(12):
        ids = torch.cat([ids, hold(ids, scores).argmax(dim=1)[None]], dim=1)
    told = Quotation((), circles=False)
    assert ids[0, 2:].tolist() == sum((told.chosen([1], scores, []) for _ in range(12)), [])


def test_the_pocket_model_may_not_go_in_circles_and_larger_ones_are_left_free(generator):
    assert not generator._quotation(()).circles
    assert replace(generator, quotes_whole=False)._quotation(()).circles


def test_in_json_a_sentence_is_quoted_as_json_writes_it(generator):
    text = 'A 27.5" wheel with the word "Kite" on its rim costs EUR 90.'
    shelf = [Chunk("wheels", "Wheels", (), 0, len(text), text)]
    ids = generator._ids
    reply = Quotation(sayable(shelf, ids), generator._marks, generator._braces)
    opening = ids('{"reply": "Thanks for asking! [1] A 27.5')
    reply.read(opening)
    rest = generator.tokenizer.decode(reply.rest())
    whole = '{"reply": "Thanks for asking! [1] A 27.5' + rest + '."}'
    assert json.loads(whole)["reply"].endswith(text), whole
    plain = Quotation(sayable(shelf, ids), generator._marks, generator._braces)
    plain.read(ids("[1] A 27.5"))
    assert "\\" not in generator.tokenizer.decode(plain.rest())
    assert generator.tokenizer.decode(plain.rest()).endswith("EUR 90")


def test_a_sentence_that_ends_in_dots_is_whole(generator):
    text = "Wait until the lamp is green and then go on…"
    shelf = [Chunk("lamp", "Lamp", (), 0, len(text), text)]
    assert all("\ufffd" not in generator.tokenizer.decode(what.tokens)
               for what in sayable(shelf, generator._ids))
