"""Hits that were found once are found again, and never for another index."""

import json

import pytest

from utils import index as stored
from utils.chunking import by_sentence
from utils.documents import Document
from utils.remembering import DEEP, Remembered, fingerprint
from utils.reranking import late_interaction, load_reranker
from utils.retrieval import Retriever

PAGES = [Document("pool", "Pool", "# Pool\n\nThe pool opens at 7:30. It closes at 21:00."),
         Document("café", "Café", "# Café\n\nSoup costs EUR 6. Bread is free.")]
ASKED = ["when does the pool open", "what is the price of soup"]


@pytest.fixture(scope="module")
def retriever():
    return Retriever(stored.build(PAGES, by_sentence), reranker=load_reranker(), k=2)


class Close:
    """A reranker whose first part is this late interaction, and which has no other."""

    none = margin = None
    name = ""

    def __init__(self, apart):
        self.apart = apart

    def scores(self, questions, texts):
        return self.apart.scores(questions, texts)


class Counting:
    """A retriever that counts how often it is asked."""

    def __init__(self, retriever):
        self._retriever, self.asked = retriever, []

    def __getattr__(self, name):
        return getattr(self._retriever, name)

    def search_many(self, questions, k=None, floor=None):
        self.asked += questions
        return self._retriever.search_many(questions, k, floor)

    def search(self, question, k=None):
        return self.search_many([question], k)[0]


def test_the_second_time_nothing_is_searched(retriever, tmp_path):
    first = Counting(retriever)
    hits = Remembered(first, tmp_path / "hits.json").search_many([*ASKED, ASKED[0]])
    assert first.asked == ASKED and hits == retriever.search_many([*ASKED, ASKED[0]])
    second = Counting(retriever)
    again = Remembered(second, tmp_path / "hits.json")
    assert again.search_many(ASKED) == hits[:2] and again.search(ASKED[1]) == hits[1]
    assert second.asked == []


def test_fewer_hits_are_the_first_of_those_remembered(retriever):
    first = Counting(retriever)
    memory = Remembered(first)
    for k in (3, 1, 2, None):
        wanted = [retriever.search(q, k) for q in ASKED]
        assert memory.search_many(ASKED, k) == wanted
        assert [memory.search(q, k) for q in ASKED] == wanted
    assert first.asked == ASKED


def test_more_hits_than_are_remembered_are_searched(retriever):
    first = Counting(retriever)
    memory = Remembered(first)
    assert memory.search_many(ASKED, DEEP + 1) == retriever.search_many(ASKED, DEEP + 1)
    assert memory.search(ASKED[0], DEEP + 1) and memory.known == {}
    assert first.asked == [*ASKED, ASKED[0]]


def test_a_changed_document_or_setting_is_another_memory(retriever, tmp_path):
    Remembered(retriever, tmp_path / "hits.json").search_many(ASKED)
    newer = [PAGES[0], Document("café", "Café", "# Café\n\nSoup costs EUR 9. Bread is free.")]
    updated, _ = stored.update(retriever.index, newer, by_sentence)
    for other in (Retriever(updated, reranker=load_reranker(), k=2),
                  Retriever(retriever.index, reranker=load_reranker(), k=1),
                  Retriever(retriever.index, reranker=load_reranker(), k=2, cutoff=False),
                  Retriever(retriever.index, k=2)):
        assert fingerprint(other) != fingerprint(retriever)
        assert Remembered(other, tmp_path / "hits.json").known == {}
    assert "EUR 9" in Remembered(Retriever(updated, k=2)).search(ASKED[1])[0].chunk.text


@pytest.mark.parametrize("text", ["", "{", "[]", '{"fingerprint": 1}'])
def test_a_damaged_file_is_searched_anew(retriever, tmp_path, text):
    (tmp_path / "hits.json").write_text(text, encoding="utf-8")
    memory = Remembered(retriever, tmp_path / "hits.json")
    assert memory.known == {} and memory.search_many(ASKED)
    assert json.loads((tmp_path / "hits.json").read_text(encoding="utf-8"))["hits"]


def test_a_chunk_number_beyond_the_index_is_a_damaged_file(retriever, tmp_path):
    content = {"fingerprint": fingerprint(retriever), "hits": {"x": [[99, 1.0, {}]]}}
    (tmp_path / "hits.json").write_text(json.dumps(content), encoding="utf-8")
    assert Remembered(retriever, tmp_path / "hits.json").known == {}


def test_where_nothing_can_be_written_it_searches_all_the_same(retriever, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    memory = Remembered(retriever, tmp_path / "file" / "hits.json")
    assert memory.search_many(ASKED) == retriever.search_many(ASKED)


def test_an_edit_that_is_taken_back_does_not_mix_the_passages_up(tmp_path):
    path = tmp_path / "a.npz"
    pages = [*PAGES, Document("lamp", "Lamp", "# Lamp\n\nThe lamp costs nine euros.")]
    first = Retriever(stored.open_index(pages, path, by_sentence)[0], k=1)
    wanted = Remembered(first, tmp_path / "hits.json").search_many(ASKED)
    edited = [Document("pool", "Pool", "# Pool\n\nClosed for good."), *pages[1:]]
    stored.open_index(edited, path, by_sentence)
    back = stored.open_index(pages, path, by_sentence)[0]
    assert [c.document for c in back.chunks] != [c.document for c in first.index.chunks]
    again = Remembered(Retriever(back, k=1), tmp_path / "hits.json").search_many(ASKED)
    assert [[h.chunk for h in hits] for hits in again] == [[h.chunk for h in hits]
                                                           for hits in wanted]


def test_a_message_of_two_questions_is_searched_as_deep_as_it_is_remembered(retriever):
    both = "When does the pool open, and what is the price of soup?"
    (direct,), (kept,) = (r.search_many([both], 2) for r in (retriever, Remembered(retriever)))
    assert direct == kept and [h.ranks for h in direct] == [h.ranks for h in kept]


def test_what_the_reranker_has_read_is_kept_for_the_next_program(tmp_path):
    def fresh():
        """A reranker as a new program loads it; `read` are the texts that it turns into vectors."""
        found = late_interaction()
        words, read = found._words, []
        found._words = lambda texts: read.extend(texts) or words(texts)
        return found, read

    index = stored.build(PAGES, by_sentence)
    first, read = fresh()
    memory = Remembered(Retriever(index, reranker=Close(first)), tmp_path / "hits.json")
    hits, file = memory.search_many(ASKED), tmp_path / "hits.npz"
    assert len(read) > len(ASKED) and file.is_file()

    (tmp_path / "hits.json").unlink()
    second, read = fresh()
    again = Remembered(Retriever(index, reranker=Close(second)), tmp_path / "hits.json")
    assert again.search_many(ASKED) == hits and read == ASKED
    before = file.stat().st_mtime_ns
    again.search_many(["soup?"])
    assert file.stat().st_mtime_ns == before  # nothing new was read

    third, read = fresh()
    third.name = "another"
    third.recall(file)
    third.scores(["soup?"], [["Soup costs EUR 6."]])
    assert len(read) == 2
    for damaged in (b"", file.read_bytes()[:3000], b"PK" + bytes(300)):
        file.write_bytes(damaged)
        fourth, read = fresh()
        fourth.recall(file)
        assert fourth._read == {}
