"""A message that asks two things: each is answered from its own passages, as one reply."""

import json

import pytest

from utils import prompts
from utils.assistant import Assistant, _together, cited_documents
from utils.chunking import Chunk
from utils.retrieval import Hit, by_turns

BOTH = "What does soup cost, and when is the pool open?"
SOUP, POOL, CAPS = (Chunk(name, name, (), 0, 9, text) for name, text in (
    ("cafe", "Soup costs EUR 6."), ("pool", "The pool opens at 7:30."), ("caps", "Caps, please.")))


class Search:
    """Finds the caps first for the whole message, and the right passage for each part."""

    def search_many(self, questions):
        whole, soup, pool = ([Hit(c, 1.0, {"dense": 1}, 0.7) for c in row]
                             for row in ((CAPS, SOUP), (SOUP, CAPS), (POOL, SOUP)))
        return [by_turns([whole, soup, pool], 6) if q == BOTH else whole for q in questions]


class Quoting:
    """A model that quotes the first passage it is shown, and remembers what it was sent."""

    def __init__(self):
        self.sent, self.passages = [], []

    def replies(self, conversations, most, progress=False, passages=None):
        self.sent += conversations
        self.passages += passages or []
        return ["[1] " + c[-1]["content"].split("[1] ")[1].split(" (")[0] if "[1] " in
                c[-1]["content"] else prompts.ABSTENTION for c in conversations]


def test_each_question_is_asked_with_its_own_passages_and_the_numbers_fit():
    model = Quoting()
    answer = Assistant("rag", Search(), model).answer(BOTH)
    assert [h.chunk for h in answer.hits] == [CAPS, SOUP, POOL]
    assert answer.text == "[2] Soup costs EUR 6. [3] The pool opens at 7:30."
    assert answer.cited == ("cafe", "pool")
    assert len(model.sent) == 2 and "pool" not in model.sent[0][-1]["content"].split("\n")[0]
    assert len(answer.messages) == sum(map(len, model.sent))
    for turns, shown in zip(model.sent, model.passages, strict=True):  # what may be quoted there
        assert turns[-1]["content"].endswith(prompts.passages(shown))


class Far:
    """Finds the caps a little behind the soup, and the pool far behind; or what is left of them."""

    def __init__(self, *found):
        self.found = found

    def search_many(self, questions):
        return [[Hit(c, 1.0, {"dense": 1}, 0.7, behind) for c, behind in self.found]
                for _ in questions]


def test_what_lies_far_behind_the_first_is_found_and_not_shown():
    model = Quoting()
    answer = Assistant("rag", Far((SOUP, 0.4), (POOL, 1.5), (CAPS, 1.3)), model).answer("Soup?")
    assert [h.chunk for h in answer.hits] == [SOUP, POOL, CAPS]
    assert model.passages == [[SOUP, CAPS]] and answer.shown == (1, 3)
    assert "pool" not in model.sent[0][-1]["content"]
    unseen = [line for line in answer.trace().splitlines() if "not shown to the model" in line]
    assert len(unseen) == 1 and unseen[0].startswith("[2] pool")


def test_numbers_of_what_was_shown_are_those_of_what_was_found():
    class Second(Quoting):
        def replies(self, conversations, most, progress=False, passages=None):
            return [f"[2] {chunks[1].text}" for chunks in passages]

    answer = Assistant("rag", Far((SOUP, 0), (POOL, 9), (CAPS, 0.2)), Second()).answer("Caps?")
    assert answer.text == "[3] Caps, please." and answer.cited == ("caps",)


def test_the_number_of_what_was_found_and_not_shown_is_made_up():
    class Third(Quoting):
        def replies(self, conversations, most, progress=False, passages=None):
            return ["[1] Soup costs EUR 6. [3]"]

    answer = Assistant("rag", Far((SOUP, 0), (CAPS, 0.2), (POOL, 9)), Third()).answer("Soup?")
    assert answer.cited == ("cafe", "3")


def test_where_the_nearest_were_taken_away_the_next_is_shown():
    model = Quoting()
    answer = Assistant("rag", Far((POOL, 4.5), (CAPS, 9)), model).answer("Pool?")
    assert model.passages == [[POOL]] and answer.shown == (1,)
    assert Assistant("rag", Far(), Quoting()).answer("Pool?").shown == ()


def test_the_baseline_quotes_the_first_of_each():
    answer = Assistant("extractive", Search()).answer(BOTH)
    assert answer.text == "[2] Soup costs EUR 6. [3] The pool opens at 7:30."
    assert answer.cited == ("cafe", "pool")


@pytest.mark.parametrize("options", [{"in_parts": False}, {"prompt": prompts.house}])
def test_who_reads_rules_first_is_asked_once_whatever_was_asked(options):
    model = Quoting()
    answer = Assistant("x", Search(), model, **options).answer(BOTH)
    assert len(model.sent) == 1 and answer.text.startswith("[1] ")


class Formal(Quoting):
    """Quotes in the house's form, with fields that differ from reply to reply."""

    fields = ({"route": "orders", "urgency": "high"}, {"route": "repairs", "urgency": "low"})
    frame = "Thanks for asking! {} Ride well, your Wrenfield team"

    def replies(self, *asked, **named):
        return [json.dumps({"reply": self.frame.format(text), "sources": [shown[0].document],
                            **fields}) for text, shown, fields in zip(
            super().replies(*asked, **named), self.passages, self.fields, strict=False)]


def test_two_replies_in_the_form_of_the_house_become_one():
    answer = Assistant("hybrid", Search(), Formal(), prompts.shown).answer(BOTH)
    assert json.loads(answer.text) == {
        "reply": "Thanks for asking! [2] Soup costs EUR 6. [3] The pool opens at 7:30. Ride well, "
                 "your Wrenfield team", "sources": ["cafe", "pool"], "route": "orders",
        "urgency": "high"}
    assert answer.cited == ("cafe", "pool")


def test_the_urgent_half_decides_and_a_reply_without_a_frame_is_kept_whole():
    model = Formal()
    model.fields, model.frame = ({"urgency": "low"}, {"urgency": "normal"}), "{}"
    answer = json.loads(Assistant("hybrid", Search(), model, prompts.shown).answer(BOTH).text)
    assert answer["urgency"] == "normal"
    assert answer["reply"] == "[2] Soup costs EUR 6. [3] The pool opens at 7:30."


@pytest.mark.parametrize("broken", ['{"reply": "half', '{"reply": 3, "sources": []}', "[]",
                                    '{"reply": "x", "sources": "KB-1"}'])
def test_a_reply_that_is_broken_is_not_mended_by_the_other(broken):
    whole = '{"reply": "x", "sources": [], "route": "orders", "urgency": "low"}'
    assert _together([(whole, [0]), (broken, [1])]) == f"{whole} {broken}"


def test_one_question_is_asked_as_it_stands():
    model = Quoting()
    answer = Assistant("rag", Search(), model).answer("What does soup cost?")
    assert answer.text == "[1] Caps, please." and len(model.sent) == 1


def test_without_a_search_nothing_is_split():
    model = Quoting()
    assert Assistant("base", None, model).answer(BOTH).text == prompts.ABSTENTION
    assert len(model.sent) == 1


def test_several_messages_keep_their_replies_apart():
    answers = Assistant("rag", Search(), Quoting()).answers(["Soup?", BOTH, "Pool?"])
    assert [a.text for a in answers] == ["[1] Caps, please.", "[2] Soup costs EUR 6. [3] The pool "
                                         "opens at 7:30.", "[1] Caps, please."]


@pytest.mark.parametrize("named, found", [
    ('{"sources": ["2"]}', ("2",)), ('{"sources": ["1"]}', ("2",)),
    ('{"sources": ["[1]"]}', ("2",)),
    ('{"sources": ["offer [2024]"]}', ("offer [2024]",)), ('{"sources": ["[offer [2024]]"]}',
    ("offer [2024",)), ('{"sources": ["²"]}', ("²",)), ('{"sources": ["[9]"]}', ("9",)),
    ("[2] It is.", ("offer [2024]",)), ("[7] It is.", ("7",))])
def test_a_document_may_be_called_by_a_number(named, found):
    hits = [Hit(Chunk(name, name, (), 0, 9, "It is."), 1.0, {}) for name in ("2", "offer [2024]")]
    assert cited_documents(named, hits) == found
