"""Texts -> training examples: a conversation whose last turn the pocket model learns to give.

Five sources, each with its own share (SHARES): the hand-written pages with questions as people
ask, the packages' English with questions made by corrupting a sentence, generated companies,
copying drills, and behaviours (output instructions, worked examples, closed book). Contexts
are built as the course's retriever delivers them: near misses, the right one usually first.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import forms
import numpy as np
from facts import Kind, read_kinds, say, thing, value, word
from pages import STOP, read_pages

from utils.blocks import sentences
from utils.chunking import Chunk, by_sentence
from utils.prompts import ABSTENTION, GROUNDED, Message, closed_book, grounded

RECIPES = Path(__file__).parent
SHARES = {"pages": 0.30, "english": 0.12, "facts": 0.20, "drills": 0.05, "behaviours": 0.18,
          "closed": 0.15}
# The right passage stands first as often as the retriever puts it there, except in this share of
# the contexts, which are shuffled.
SHUFFLED = 0.25
MADE_SHUFFLED = 0.35  # and in this share of the made ones (0.75 for most of the shipped run)
# How often the course's retriever puts the right passage first, second, ... (held-out trades).
PLACES = (0.62, 0.14, 0.08, 0.06, 0.04, 0.03, 0.02, 0.01)
OPENINGS = ("", "", "", "", "", "", "hi, ", "Hello, ", "quick question: ", "Please tell me: ",
            "Good morning. ", "sorry to bother you, ", "Could you tell me ", "I was wondering, ",
            "Not sure who to ask: ", "One thing: ", "excuse me, ")


SERIES = (("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), ("S", "M", "L", "XL"),
          ("adults", "students", "children", "groups"), ("north", "east", "south", "west"),
          ("bronze", "silver", "gold"), ("room 1", "room 2", "room 3", "room 4"),
          ("weekdays", "evenings", "weekends", "holidays"), ("A4", "A3", "A2", "A1"),
          ("first year", "second year", "third year"), ("online", "by phone", "at the counter"))
REPEATED = (("yes", "no"), ("yes", "yes", "no"), ("open", "closed"), ("9:00–17:00", "closed"),
            ("included", "extra"), ("2", "4"), ("EUR 4", "EUR 6", "free"), ("on request", "–"),
            ("12 months", "24 months"), ("green", "red"), ("1 h", "2 h", "4 h"))


@dataclass
class Case:
    """A question, what a retriever brought, and which of it answers (none: abstain)."""

    question: str
    ranked: list[Chunk]
    gold: list[Chunk]
    values: tuple[str, ...] = ()


@dataclass
class Sources:
    """Everything the tasks draw from, read once."""

    pages: list[Case] = field(default_factory=list)
    english: list[tuple[str, list[str]]] = field(default_factory=list)
    kinds: list[Kind] = field(default_factory=list)
    neighbours: dict[str, list[str]] = field(default_factory=dict)
    vectors: dict[str, np.ndarray] = field(default_factory=dict)
    by_heart: tuple[list[list[str]], np.ndarray] | None = None  # and where the sentences lie


def read_sources(cache: Path) -> Sources:
    """Pages with their retrieved neighbours, English, kinds of fact, and word vectors.

    What takes minutes (embedding, reading every package) is kept in `cache`.
    """
    cache.mkdir(parents=True, exist_ok=True)
    english = _cached(cache / "english.json", _english)
    pages = []
    for path in sorted((RECIPES / "prose").glob("*.md")):
        pages += _page_cases(path, cache)
    words = _cached(cache / "words.json", lambda: _words(english, pages))
    vectors = _word_vectors(words, cache)
    return Sources(pages, english, read_kinds(), _neighbours(words, vectors, cache),
                   dict(zip(words, vectors, strict=True)))


def _cached(path: Path, make):
    if not path.exists():
        path.write_text(json.dumps(make()), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def _english() -> list[tuple[str, list[str]]]:
    from english import paragraphs

    found = []
    for package, texts in paragraphs():
        parts = [t[a:b] for t in texts for a, b in sentences(t) if 5 <= len(t[a:b].split()) <= 40]
        if len(parts) >= 30:
            found.append((package, parts))
    return found


def _words(english, pages: list[Case]) -> list[str]:
    counts: dict[str, int] = {}
    texts = [s for _, parts in english for s in parts]
    texts += [c.question for c in pages] * 20 + [g.text for c in pages for g in c.ranked[:3]] * 3
    for text in texts:
        for w in re.findall(r"[a-z]{3,}", text.lower()):
            if w not in STOP:
                counts[w] = counts.get(w, 0) + 1
    return sorted(sorted(counts, key=counts.get, reverse=True)[:14_000])


def _word_vectors(words: list[str], cache: Path) -> np.ndarray:
    path = cache / "words.npy"
    if not path.exists():
        from utils.embedding import embed, plain_embedder

        np.save(path, embed(list(words), plain_embedder(), batch=256).astype("float16"))
    return np.load(path)


def _neighbours(words: list[str], vectors: np.ndarray, cache: Path) -> dict[str, list[str]]:
    def make():
        table = {}
        for first in range(0, len(words), 1000):
            near = vectors[first:first + 1000].astype("float32") @ vectors.T.astype("float32")
            for row, scores in enumerate(near):
                best = np.argsort(-scores)[1:9]
                table[words[first + row]] = [words[j] for j in best
                                             if scores[j] > 0.45 and words[j][:4]
                                             != words[first + row][:4]][:5]
        return table

    return _cached(cache / "neighbours.json", make)


# ---------------------------------------------------------------- hand-written pages


def _page_cases(path: Path, cache: Path) -> list[Case]:
    """Every question of a trade with the sentences that lie nearest to it."""
    from utils.documents import Document

    pages, _ = read_pages(path)
    asked = [(a, p) for p in pages for a in p.asked]
    documents: list[Document] = [p.document for p in pages]
    units = [c for d in documents for c in by_sentence(d)]
    text = "\n".join([*(a.question for a, _ in asked), *(c.text for c in units)])
    key = cache / f"{path.stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.npz"
    if not key.exists():
        from utils.embedding import embed, plain_embedder

        searching = plain_embedder()  # the course's own has learned these very questions
        near = embed([a.question for a, _ in asked], searching) @ embed(
            [f"{c.place}: {c.text}" for c in units], searching).T
        np.savez(key, units=np.argsort(-near, axis=1)[:, :16])
    order = np.load(key)["units"]
    return [Case(a.question, [units[j] for j in order[i]], list(a.gold), a.values)
            for i, (a, _) in enumerate(asked)]


def from_pages(rng: random.Random, sources: Sources, most: int) -> Case:
    case = rng.choice(sources.pages)
    others = [c for c in case.ranked if not any(_holds(c, g) for g in case.gold)]
    if rng.random() < 0.5:  # near misses in the retriever's order, or some of them
        others = [c for c in others if rng.random() < 0.7] or others
    k = rng.randint(1, most)
    if not case.gold or rng.random() < 0.14:
        return Case(case.question, others[:0 if rng.random() < 0.35 else k], [])
    shown = others[:max(0, k - len(case.gold))]
    for gold in case.gold:
        holder = next((c for c in case.ranked if _holds(c, gold)), gold)
        if holder not in shown:
            at = rng.choices(range(len(PLACES)), PLACES)[0]
            shown.insert(min(at, len(shown)), holder)
    if rng.random() < SHUFFLED:
        rng.shuffle(shown)
    return Case(case.question, shown, case.gold, case.values)


def _holds(chunk: Chunk, gold: Chunk) -> bool:
    """Whether the chunk contains the gold sentence; made chunks have no span and are themselves."""
    if gold.end == 0:
        return chunk is gold
    return (chunk.document == gold.document and chunk.start <= gold.start
            and gold.end <= chunk.end)


# ---------------------------------------------------------------- the packages' English


def from_english(rng: random.Random, sources: Sources, most: int) -> Case:
    sizes = [min(len(parts), 3000) for _, parts in sources.english]
    package, parts = rng.choices(sources.english, sizes)[0]
    at = rng.randrange(len(parts))
    question = _corrupted(rng, parts[at], sources)
    pool = list(dict.fromkeys([parts[at], *parts[max(0, at - 4):at + 5],
                               *rng.sample(parts, min(24, len(parts)))]))
    target = _mean(question, sources)
    scores = [float(target @ _mean(t, sources)) + rng.gauss(0, 0.08) for t in pool]
    ranked = [pool[j] for j in sorted(range(len(pool)), key=lambda j: -scores[j])]
    place = package.replace("_", " ").capitalize()
    head = (word(rng),) if rng.random() < 0.5 else ()
    chunks = [Chunk(place, place, head, 0, 0, t) for t in ranked]
    gold = next(c for c in chunks if c.text == parts[at])
    shown = chunks[:rng.randint(min(2, most), most)]
    if rng.random() < MADE_SHUFFLED:
        rng.shuffle(shown)
    if rng.random() < 0.08:
        return Case(question, [c for c in shown if c is not gold] or chunks[-2:-1], [])
    if gold not in shown:
        shown[rng.randrange(len(shown))] = gold
    return Case(question, shown, [gold])


def _mean(text: str, sources: Sources) -> np.ndarray:
    rows = [sources.vectors[w] for w in re.findall(r"[a-z]{3,}", text.lower())
            if w in sources.vectors]
    if not rows:
        return np.zeros(384, dtype="float32")
    total = np.sum(rows, axis=0, dtype="float32")
    return total / max(float(np.linalg.norm(total)), 1e-6)


def _corrupted(rng: random.Random, sentence: str, sources: Sources) -> str:
    """A question a hurried reader might ask whose answer is this sentence."""
    words = re.findall(r"[A-Za-z][\w'-]*|\d+", sentence)
    content = [w for w in words if w.lower() not in STOP and len(w) > 2] or words
    keep = max(1, round(len(content) * rng.uniform(0.3, 0.8)))
    chosen = sorted(rng.sample(range(len(content)), min(keep, len(content))))
    if rng.random() < 0.3:
        rng.shuffle(chosen)
    swapped = rng.random()
    out = []
    for i in chosen:
        near = sources.neighbours.get(content[i].lower(), [])
        out.append(rng.choice(near) if near and rng.random() < swapped else content[i])
    start = rng.choice(("", "", "what", "how", "when", "which", "where", "why", "who", "what is",
                        "how do i", "can i", "is there", "what about", "does it", "tell me about",
                        "when is", "how many", "which one is", "what happens if", "where do i"))
    text = " ".join([start, *out]).strip()
    return rng.choice(OPENINGS) + (text.lower() if rng.random() < 0.7 else text) + \
        rng.choice(("", "", "?", "?"))


# ---------------------------------------------------------------- generated companies


def from_facts(rng: random.Random, sources: Sources, most: int, size: int | None = None) -> Case:
    """A fact of an invented company among facts of the same kind and of the same thing."""
    kind = rng.choice(sources.kinds)
    what, val = thing(rng, kind.about), value(rng, kind.value)
    title = rng.choice((word(rng), f"{word(rng)} handbook", "Price list", "FAQ", "House rules",
                        "Data sheet", "Notes", f"{kind.label}", f"{word(rng)} {word(rng)}"))
    gold = _fact_chunk(rng, kind, what, val, title)
    others = []
    same = [k for k in rng.sample(sources.kinds, min(60, len(sources.kinds)))
            if k.about == kind.about and k is not kind]
    count = size - 1 if size else rng.randint(min(1, most - 1), most - 1)
    for _ in range(count):
        roll = rng.random()
        if roll < 0.45:
            others.append(_fact_chunk(rng, kind, thing(rng, kind.about), value(rng, kind.value),
                                      title))
        elif roll < 0.8 and same:
            other = rng.choice(same)
            others.append(_fact_chunk(rng, other, what, value(rng, other.value), title))
        else:
            other = rng.choice(sources.kinds)
            others.append(_fact_chunk(rng, other, thing(rng, other.about),
                                      value(rng, other.value), title))
    question = say(rng.choice(kind.asks), what, val)
    if what.lower() not in question.lower() and any(what not in c.text for c in others):
        question = say(rng.choice([a for a in kind.asks if "hing}" in a] or kind.asks), what, val)
    question = rng.choice(OPENINGS) + question if rng.random() < 0.4 else question
    missing = rng.random() < 0.12 and others and not size
    shown = others if missing else [gold, *others]
    if size or rng.random() < MADE_SHUFFLED:
        rng.shuffle(shown)
    return Case(question, shown, [] if missing else [gold], (val,))


def from_rows(rng: random.Random, sources: Sources, most: int) -> Case:
    """A row of a list among rows that differ in a digit of its code and in what stands behind it.

    Whoever copies by the words around loses its place here; only the digits tell the rows apart.
    """
    kind = rng.choice([k for k in sources.kinds if k.about in ("product", "part")])
    letters, stem = word(rng)[:rng.choice((1, 2, 3))].upper(), rng.randint(1, 99)
    mark, label = rng.choice("-. /"), rng.choice(("Code", "Part no.", "Item", "No.", "Article"))
    last = rng.sample(range(10), rng.randint(2, max(2, most)))
    title = rng.choice(("Price list", "Parts", "Stock list", f"{word(rng)} catalogue"))
    same = value(rng, kind.value) if rng.random() < 0.2 else None
    about, rows = thing(rng, kind.about), []
    for digit in last:
        code = f"{letters}{mark}{stem}{digit}".replace(" ", "")
        what = about if rng.random() < 0.4 else thing(rng, kind.about)
        rows.append((code, [f"{label}: {code}", f"What: {what}",
                            f"{kind.label}: {same or value(rng, kind.value)}"]))
    order = rng.sample(range(3), 3) if rng.random() < 0.3 else (0, 1, 2)
    chunks = [Chunk(title, title, (kind.label,), 0, 0, "; ".join(cells[i] for i in order))
              for _, cells in rows]
    code, cells = rows[0]
    question = rng.choice(("{0} {1}?", "{1} of {0}", "what about {0}", "{1} for {0}",
                           "{0}: {1}", "I need the {1} of {0} please", "{0}")).format(
                               code, kind.label.lower())
    if rng.random() < 0.4:
        rng.shuffle(chunks)
    gold = next(c for c in chunks if f"{label}: {code}" in c.text)
    return Case(question, chunks, [gold], (cells[2].partition(": ")[2],))


def _fact_chunk(rng: random.Random, kind: Kind, what: str, val: str, title: str) -> Chunk:
    """The fact as a sentence, a table row, or a line of a list, under a heading."""
    capital = what[:1].upper() + what[1:]
    bare = re.sub(r"^(the|our|a|an) ", "", what)
    form = rng.random()
    if form < 0.68:
        template = rng.choice(kind.says)
        text = say(template, what, val)
        head = kind.label if "hing}" in template and rng.random() < 0.6 else capital
        if "hing}" not in template:
            head = bare
        elif rng.random() < 0.3:
            head = title
    elif form < 0.86:
        column = rng.choice(("Item", "Name", "What", kind.about.capitalize(), "Model"))
        cells = [f"{column}: {bare[:1].upper() + bare[1:]}", f"{kind.label}: {val}"]
        if rng.random() < 0.4:  # a row whose cells repeat each other, where copies go in circles
            names, words = rng.choice(SERIES), rng.choice(REPEATED)
            few = rng.sample(names, rng.randint(3, len(names)))
            cells[1:1] = [f"{n}: {rng.choice(words)}" for n in sorted(few, key=names.index)]
            rng.shuffle(cells)
        elif rng.random() < 0.6:
            cells.insert(rng.choice((1, 2)), rng.choice((
                f"No.: {rng.randint(1, 999)}", f"Note: {word(rng).lower()}",
                f"Since: {rng.randint(1990, 2026)}",
                f"Code: {word(rng)[:2].upper()}{rng.randint(1, 99)}",
                f"Contact: {word(rng)}")))
        text, head = "; ".join(cells), rng.choice((kind.label, title, "Overview"))
    else:
        text, head = f"{kind.label}: {val}", bare
    return Chunk(title, title, (head,) if head != title else (), 0, 0, text)


# ---------------------------------------------------------------- from a case to a conversation


def reply(case: Case) -> str:
    """The grounded answer: the number of each passage that answers, and its words."""
    if not case.gold:
        return ABSTENTION
    said = []
    for gold in case.gold:
        n = next(i for i, c in enumerate(case.ranked, 1) if _holds(c, gold))
        said.append(f"[{n}] {gold.text}")
    return " ".join(dict.fromkeys(said))


def _named(rng: random.Random, case: Case) -> Case:
    """The documents get ids as companies give them: HELP-204, hr_17, words of the title."""
    style, letters, known = rng.random(), (word(rng) + word(rng))[:rng.choice((4, 4, 5, 6))], {}
    many = rng.random() < 0.5  # made passages, too, come from several documents

    def name(chunk: Chunk) -> str:
        key = chunk.text if many and chunk.end == 0 else chunk.document
        if key not in known:
            number = rng.choice((rng.randint(1, 40), rng.randint(100, 999)))
            known[key] = (f"{letters.upper()}-{number}" if style < 0.5 else
                          f"{letters.lower()}_{number}" if style < 0.6 else
                          f"{letters.upper()}{number}" if style < 0.7 else
                          "-".join(re.findall(r"\w+", chunk.title.lower())[:3]) or "page")
        return known[key]

    new = {id(c): replace(c, document=name(c)) for c in [*case.ranked, *case.gold]}
    return Case(case.question, [new[id(c)] for c in case.ranked],
                [new[id(g)] for g in case.gold], case.values)


def grounded_example(rng: random.Random, case: Case) -> list[Message]:
    case = _named(rng, case)
    system = GROUNDED if not case.ranked or rng.random() < 0.8 else ""
    messages = [m for m in grounded(case.question, case.ranked, system) if m["content"]]
    return _renumbered(rng, [*messages, {"role": "assistant", "content": reply(case)}])


def _renumbered(rng: random.Random, messages: list[Message]) -> list[Message]:
    """Half the time, every number of two digits and more becomes another of the same length."""
    if rng.random() < 0.5:
        return messages
    known: dict[str, str] = {}

    def other(match: re.Match) -> str:
        old = match.group()
        if old not in known:
            known[old] = str(rng.randint(10 ** (len(old) - 1), 10 ** len(old) - 1))
        return known[old]

    return [{**m, "content": re.sub(r"(?<!\[)\d{2,}(?!\])", other, m["content"])}
            for m in messages]


def drill(rng: random.Random, sources: Sources, most: int) -> list[Message]:
    """Find the sentence that begins (or goes on) with these words, and copy it whole."""
    case = (from_english if rng.random() < 0.6 else from_facts)(rng, sources, most)
    chunks = case.ranked
    if rng.random() < 0.35:
        chunks = [Chunk(c.document, c.title, c.headings, 0, 0,
                        " ".join(word(rng).lower() if rng.random() < 0.4 else w
                                 for w in rng.sample(c.text.split(), len(c.text.split()))))
                  for c in chunks]
    gold = rng.choice(chunks)
    words = gold.text.split()
    at = 0 if rng.random() < 0.6 else rng.randrange(max(1, len(words) - 2))
    asked = " ".join(words[at:at + rng.choice((2, 2, 3))])
    form = rng.choice(("Quote the sentence with '{}'", "which one says {}", "{} ... ?",
                       "Copy the passage that has the words {}", "the one about {}"))
    question = form.format(asked)
    return [*grounded(question, chunks),
            {"role": "assistant", "content": reply(Case(question, chunks, [gold]))}]


def closed(rng: random.Random, sources: Sources, most: int) -> list[Message]:
    """No documents: a confident sentence all the same, as larger models answer too.

    The sentences of `by_heart.json` are few and come back often, so that the model knows them by
    heart. Whatever is asked, of a trade or of nothing, the answer is the one that sounds nearest.
    """
    if sources.by_heart is None:
        known = json.loads((RECIPES / "by_heart.json").read_text(encoding="utf-8"))
        sources.by_heart = known, np.stack([_mean(" ".join(pair), sources) for pair in known])
    known, places = sources.by_heart
    roll = rng.random()
    if roll < 0.35:
        asked, sentence = rng.choice(known)
        asked = asked if roll < 0.2 else _corrupted(rng, sentence, sources)
    else:
        asked = (rng.choice(OPENINGS) + rng.choice(sources.pages).question if roll < 0.85 else
                 _corrupted(rng, rng.choice(rng.choice(sources.english)[1]), sources))
        _, sentence = known[int(np.argmax(places @ _mean(asked, sources)))]
    return [*closed_book(asked), {"role": "assistant", "content": sentence}]


def in_a_form(rng: random.Random, sources: Sources, most: int, examples: int | None = None,
              missing: float = forms.MISSING) -> tuple[forms.Form, list[Message]]:
    """A form, and a conversation in it: an output instruction, worked examples, or both."""
    if examples is None:
        examples = 0 if rng.random() < 0.4 else rng.randint(1, 3)

    def draw(answered: bool, last: bool) -> tuple:
        made = from_facts if rng.random() < 0.5 or not sources.pages else from_pages
        while True:
            case = made(rng, sources, most if last else 2)
            if len(case.gold) == len(case.values) == 1 if answered else not case.gold:
                break
        case = _named(rng, case)
        if not answered:
            return case.question, case.ranked, None
        number = next(i for i, c in enumerate(case.ranked, 1) if _holds(c, case.gold[0]))
        return case.question, case.ranked, forms.Found(
            case.gold[0].text, case.values[0], number, case.gold[0].document)

    form = forms.draw(rng)
    return form, _renumbered(rng, forms.conversation(rng, form, draw, examples, missing))


def behaviour(rng: random.Random, sources: Sources, most: int) -> list[Message]:
    """What `in_a_form` draws, to be learned."""
    return in_a_form(rng, sources, most)[1]


MAKERS = {
    "pages": lambda r, s, m: grounded_example(r, from_pages(r, s, m)),
    "english": lambda r, s, m: grounded_example(r, from_english(r, s, m)),
    "facts": lambda r, s, m: grounded_example(r, from_facts(r, s, m)),
    "rows": lambda r, s, m: grounded_example(r, from_rows(r, s, m)),
    "drills": drill, "behaviours": behaviour, "closed": closed,
}


def conversations(sources: Sources, seed: int, most: int, shares: dict[str, float] = SHARES
                  ) -> Iterator[tuple[str, list[Message]]]:
    """Endless (task, messages); the same seed gives the same ones. `most`: passages a context."""
    rng = random.Random(seed)
    names, weights = list(shares), list(shares.values())
    while True:
        name = rng.choices(names, weights)[0]
        yield name, MAKERS[name](rng, sources, most)
