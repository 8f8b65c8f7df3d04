"""The command `bench`: what the course's stations cost beside the libraries called directly.

Both sides do the same work by turns, so that whatever else the machine does slows both alike, and
the ratio of a row is the median of the turns' ratios. The stations' own code (chunking, checksums,
word search, ranks) may cost at most 10 % over the direct calls; every pair says whether it does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from utils.asking import COMPANY
from utils.assistant import CHUNKER, Assistant
from utils.batching import read_examples
from utils.documents import CourseError, Document, load_documents
from utils.embedding import embed, load_embedder, wheel_embedder_path
from utils.environment import ROOT
from utils.exam import exam
from utils.finetuning import Settings
from utils.generation import Generator
from utils.index import Index, build, searched_text
from utils.loading import load_generator
from utils.options import Parser
from utils.profiles import Profile, choose
from utils.reranking import load_reranker
from utils.retrieval import Retriever, near
from utils.stock_trainer import compare_with_trainer

LIMIT = 1.10  # what the stations may take, the direct calls being 1
OVER = "10 %"
TEXTS, QUESTIONS, REREAD, ANSWERS, TOKENS, LESSONS = 128, 24, 6, 8, 32, 96
FASTER = 1.5  # times the tokens a second of the stock recipe that training should reach
ROUNDS, PARTS = 5, 8
BUSY = 1.5  # the slowest turn over the quickest, from which the figures say little


@dataclass(frozen=True)
class Row:
    """One comparison: two figures, and how long the station takes when the other takes 1."""

    name: str
    unit: str
    station: float
    other: float
    ratio: float
    meaning: str
    holds: bool | None = None  # within the limit; None where the two do different work
    scatter: float = 1.0  # the slowest turn over the quickest, where all turns do the same


def bench(words: list[str]) -> int:
    """Measures every pair, prints the table, and with --json writes it too."""
    parser = Parser("bench")
    parser.add_argument("--json")
    out = parser.parse_args(words).json
    if out:
        _write(out, "")  # whether it can be written is asked before the measuring
    profile, started = choose(), perf_counter()
    rows = measure(profile, load_documents(COMPANY), [q.question for q in exam("dev")])
    print(table(rows))
    print(f"\nprofile {profile.name}; {perf_counter() - started:.0f} s")
    if out:
        _write(out, json.dumps({"profile": profile.name, "limit": LIMIT,
                                "rows": [asdict(row) for row in rows]}, indent=1))
        print(f"The same as JSON: {out}")
    return 0


def measure(profile: Profile, documents: Sequence[Document],
            questions: Sequence[str]) -> list[Row]:
    """Every row of the table, from embedding to answers."""
    embedder = load_embedder(profile.embedder)
    made, index = _indexing(documents, embedder, profile)
    spread = questions[::max(1, len(questions) // QUESTIONS)][:QUESTIONS]
    searched, retriever = _searching(index, embedder, load_reranker(profile.reranker), spread)
    generator = load_generator(profile)
    return [*_embedding([searched_text(c) for c in index.chunks], embedder), *made, *searched,
            _answering(generator, retriever, spread[:ANSWERS]), _training(generator)]


def by_turns(ways: dict[str, Callable], items: Sequence, name: str) -> dict[str, np.ndarray]:
    """The seconds each way takes for each item; every way does each item once, in changing order.

    Each way does the first item once before, unmeasured.
    """
    from tqdm.auto import tqdm

    for way in ways.values():
        way(items[0])
    spent: dict[str, list[float]] = {key: [] for key in ways}
    shown = tqdm(items, desc=name, leave=False, disable=not sys.stderr.isatty())
    for turn, item in enumerate(shown):
        for key in list(ways)[::-1 if turn % 2 else 1]:
            start = perf_counter()
            ways[key](item)
            spent[key].append(perf_counter() - start)
    return {key: np.array(seconds) for key, seconds in spent.items()}


def table(rows: Sequence[Row]) -> str:
    """The rows as text: the figures, and under them what their ratio means."""
    lines = [f"{'':28s}{'station':>9s}{'beside it':>11s}{'':11s}{'ratio':>6s}"]
    for row in rows:
        verdict = {True: "holds", False: "does not hold", None: ""}[row.holds]
        lines.append(f"{row.name:28s}{row.station:9.1f}{row.other:11.1f} {row.unit:10s}"
                     f"{row.ratio:6.2f}  {verdict}".rstrip())
        lines.append(f"    {row.meaning}")
    pairs = [row.holds for row in rows if row.holds is not None]
    lines += ["", "ratio: the station's time when what stands beside it takes 1",
              f"The stations' own code costs at most {OVER} over the direct calls: holds for "
              f"{sum(pairs)} of {len(pairs)} pairs."]
    scatter = max(row.scatter for row in rows)
    if scatter >= BUSY:
        lines.append(f"The machine was busy: the same work took up to {scatter:.1f} times as long "
                     "from one turn to another. Trust the ratios more than the figures.")
    return "\n".join(lines)


def _embedding(texts: list[str], embedder) -> list[Row]:
    texts = texts[::max(1, len(texts) // TEXTS)][:TEXTS]
    spent = by_turns({
        "station": lambda _: embed(texts, embedder),
        "direct": lambda _: _encode(embedder, texts),
        "single": lambda _: [_encode(embedder, [t]) for t in texts]}, range(ROUNDS), "embedding")
    rate = {key: len(texts) / np.median(seconds) for key, seconds in spent.items()}
    alone = _ratio(spent, "single")
    return [_pair("embedding", "texts/s", rate["station"], rate["direct"], _ratio(spent),
                  "sentence-transformers called directly", _scatter(spent["direct"])),
            Row("embedding, text by text", "texts/s", rate["station"], rate["single"], alone,
                f"Sorted by length and in batches, embedding takes {alone:.2f} of the time it "
                "takes text by text.")]


def _indexing(documents: Sequence[Document], embedder, profile: Profile) -> tuple[list[Row], Index]:
    """Also the whole index, put together from the parts that the station built."""
    import faiss
    from llama_index.core import Document as Page
    from llama_index.core import StorageContext, VectorStoreIndex
    from llama_index.core.node_parser import SentenceSplitter
    from llama_index.core.schema import MetadataMode
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding
    from llama_index.vector_stores.faiss import FaissVectorStore

    face = HuggingFaceEmbedding(profile.embedder or str(wheel_embedder_path()),
                                device=str(embedder.device))
    parts = [documents[n::PARTS] for n in range(PARTS) if documents[n::PARTS]]
    ready = {id(part): [searched_text(c) for d in part for c in CHUNKER(d)] for part in parts}
    built: dict[int, Index] = {}
    nodes: dict[int, list] = {}

    def station(part) -> None:
        built[id(part)] = index = build(part, CHUNKER, embedder)
        index.search(index.vectors[:1], 1)  # puts the vectors into FAISS

    def direct(part) -> None:
        vectors = _encode(embedder, ready[id(part)])
        store = faiss.IndexFlatIP(vectors.shape[1])
        store.add(vectors)
        store.search(vectors[:1], 1)

    def llama(part) -> None:
        store = FaissVectorStore(faiss.IndexFlatIP(embedder.get_embedding_dimension()))
        nodes[id(part)] = SentenceSplitter().get_nodes_from_documents(
            [Page(text=d.text, metadata={"title": d.title}) for d in part])
        VectorStoreIndex(nodes[id(part)], embed_model=face,
                         storage_context=StorageContext.from_defaults(vector_store=store))

    spent = by_turns({"station": station, "direct": direct, "llama": llama}, parts, "indexing")
    indexes = [built[id(part)] for part in parts]
    whole = Index([c for i in indexes for c in i.chunks],
                  np.concatenate([i.vectors for i in indexes]), indexes[0].embedder,
                  indexes[0].chunker, {k: v for i in indexes for k, v in i.checksums.items()})
    seconds = {key: float(found.sum()) for key, found in spent.items()}
    cut = [n for group in nodes.values() for n in group]
    lengths = embedder.tokenizer([n.get_content(MetadataMode.EMBED) for n in cut],
                                 truncation=False, verbose=False)["input_ids"]
    long = sum(len(ids) > embedder.max_seq_length for ids in lengths)
    ratio = _ratio(spent, "llama")
    return [_pair(f"index of {len(documents)} documents", "s", seconds["station"],
                  seconds["direct"], _ratio(spent),
                  "sentence-transformers and FAISS on ready chunks"),
            Row("index, LlamaIndex's defaults", "s", seconds["station"], seconds["llama"], ratio,
                f"The station takes {ratio:.2f} times as long and embeds {len(whole.chunks):,} "
                f"chunks; LlamaIndex makes {len(cut)}, and of {long} the embedder reads only the "
                f"first {embedder.max_seq_length} word pieces.")], whole


def _searching(index: Index, embedder, reranker,
               questions: Sequence[str]) -> tuple[list[Row], Retriever]:
    first = Retriever(index, embedder, in_parts=False)  # one question is one search, as beside it
    whole = Retriever(index, embedder, reranker, in_parts=False)
    index.search(index.vectors[:1], 1)
    spent = by_turns({
        "station": first.search,
        "direct": lambda q: index._faiss.search(_encode(embedder, [q]), first.k),
    }, list(questions) * ROUNDS, "searching")
    again = by_turns({"station": whole.search, "first": first.search}, questions[:REREAD],
                     "reranking")
    each = {key: 1000 * np.median(seconds.reshape(-1, len(questions)), axis=0)
            for key, seconds in spent.items()}
    rows = []
    for mark in (50, 95):
        at = {key: float(np.percentile(found, mark)) for key, found in each.items()}
        ratio = _ratio(spent) if mark == 50 else at["station"] / at["direct"]
        rows.append(_pair(f"search, p{mark}", "ms", at["station"], at["direct"], ratio,
                          "sentence-transformers and FAISS directly"))
    ratio = _ratio(again, "first")
    slow, quick = (1000 * float(np.median(again[key])) for key in ("station", "first"))
    return [*rows, Row("search and reranker, p50", "ms", slow, quick, ratio,
                       f"Reading the first {whole.reread} again takes the search to {ratio:.0f} "
                       "times its time: extra work, not overhead.")], first


def _answering(generator: Generator, retriever: Retriever, questions: Sequence[str]) -> Row:
    assistant = Assistant("rag", retriever, generator)
    asked = [assistant.messages(q, near(hits))
             for q, hits in zip(questions, retriever.search_many(questions), strict=True)]
    spent = by_turns({"station": lambda _: generator.replies(asked, TOKENS),
                      "single": lambda _: [generator.reply(a, TOKENS) for a in asked]},
                     range(3), "answering")
    rate = {key: len(asked) / np.median(seconds) for key, seconds in spent.items()}
    ratio = _ratio(spent, "single")
    return Row("answers, one by one", "answers/s", rate["station"], rate["single"], ratio,
               f"In batches of {min(generator.batch, len(asked))} an answer takes {ratio:.2f} of "
               "the time it takes alone.", scatter=_scatter(spent["single"]))


def _training(generator: Generator) -> Row:
    """Ours beside transformers' Trainer: the same adapter, examples and number of steps."""
    style = ROOT / "data" / "style"
    learned = read_examples(style / "train.jsonl").shuffle(seed=0).select(range(LESSONS))
    held_out = read_examples(style / "validation.jsonl").select(range(16))
    found = compare_with_trainer(generator, learned, held_out, Settings(epochs=1, looks=1))
    ours, stock = found.ours, found.trainer
    word = "at least" if found.ratio >= FASTER else "less than"
    return Row("fine-tuning, Trainer", "tokens/s", ours.tokens_per_second, stock.tokens_per_second,
               1 / found.ratio,
               f"{found.ratio:.2f} times the tokens a second of the stock recipe, {word} {FASTER}; "
               f"validation loss {ours.validation:.2f} beside {stock.validation:.2f}; memory "
               f"{ours.memory_gb:.2f} beside {stock.memory_gb:.2f} GB.",
               scatter=max(found.ratios) / min(found.ratios))


def _encode(embedder, texts: list[str]) -> np.ndarray:
    """What one would write without the course."""
    return embedder.encode(texts, batch_size=64, normalize_embeddings=True,
                           show_progress_bar=False)


def _ratio(spent: dict[str, np.ndarray], other: str = "direct") -> float:
    return float(np.median(spent["station"] / spent[other]))


def _scatter(turns: np.ndarray) -> float:
    return float(turns.max() / turns.min())


def _pair(name: str, unit: str, station: float, other: float, ratio: float, what: str,
          scatter: float = 1.0) -> Row:
    """A row of two that do the same work, with its verdict."""
    holds = bool(ratio <= LIMIT)
    word = "at most" if holds else "more than"
    return Row(name, unit, float(station), float(other), ratio,
               f"The station takes {ratio:.2f} times as long as {what}: {word} {OVER} over it.",
               holds, scatter)


def _write(path: str, text: str) -> None:
    """Writes the text; without any, only tries, and leaves what is there."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with Path(path).open("w" if text else "a", encoding="utf-8") as file:
            file.write(text)
    except OSError as problem:
        raise CourseError(f"{path} cannot be written ({problem.strerror}). Name another file."
                          ) from None
