"""The commands `ask`, `exam` and `calibrate`: any system of the course over any folder.

The index of a folder is kept in build/indexes and brought up to date, not rebuilt, when the
folder changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from utils import calibration, grading
from utils.assistant import SYSTEMS, Assistant, cited_documents, sit, system
from utils.documents import CourseError, Document, load_documents
from utils.environment import ROOT
from utils.exam import METRICS, Sitting, load_questions
from utils.index import too_long
from utils.locks import in_one_piece
from utils.options import Parser
from utils.profiles import Profile, choose
from utils.remembering import Handed
from utils.retrieval import checked

COMPANY = ROOT / "data" / "company"


@contextmanager
def _notes() -> Iterator[None]:
    """What the stations warn of is told in one line each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = lambda message, *_, **__: _warn(str(message))
        yield


@_notes()
def ask(words: list[str]) -> int:
    """Answers one question, with its citations, and with --trace how it came about."""
    parser = Parser("ask")
    parser.add_argument("question")
    _common(parser)
    parser.add_argument("--trace", action="store_true")
    arguments = parser.parse_args(words)
    question = checked(arguments.question)
    documents = load_documents(arguments.docs)
    assistant = _assistant(arguments, documents)
    if arguments.trace or assistant.generator is None:
        answer = assistant.answer(question)
        print(answer.trace() if arguments.trace else answer.text)
        text, cited = answer.text, answer.cited
    else:
        text, cited = _said(assistant, question)
    titles = {d.id: d for d in documents}
    for name in cited:
        found = titles.get(name)
        print(f"  {name}  {found.title}  ({found.path})" if found else
              f"  {name}  was not among the documents: made up")
    if assistant.retriever and not cited and not grading.abstains(text):
        print("  no source named")
    return 0


def _said(assistant: Assistant, question: str) -> tuple[str, tuple[str, ...]]:
    """The reply, printed as it is made, and the documents it names.

    Where its numbers have to be put right, as with two questions in one, it is printed when it is
    done.
    """
    hits = assistant.retriever.search(question) if assistant.retriever else []
    pieces = assistant.pieces(question, hits)
    shown = [hits[n] for n in pieces[0][1]]
    if len(pieces) > 1 or shown != hits[:len(shown)]:
        answer = replace(assistant, retriever=Handed({question: hits})).answer(question)
        print(answer.text)
        return answer.text, answer.cited
    text = ""
    for piece in assistant.generator.stream(assistant.messages(question, shown),
                                            passages=[h.chunk for h in shown]):
        print(piece, end="", flush=True)
        text += piece
    print()
    return text, cited_documents(text, shown)


@_notes()
def exam(words: list[str]) -> int:
    """Lets a system sit an exam; prints its metrics and writes every answer with its grades."""
    parser = Parser("exam")
    _common(parser)
    parser.add_argument("--questions", required=True)
    parser.add_argument("--json")
    arguments = parser.parse_args(words)
    questions = load_questions(arguments.questions)
    documents = load_documents(arguments.docs)
    if arguments.json:
        _writable(Path(arguments.json))
    assistant = _assistant(arguments, documents)
    absent = sorted({s for q in questions for s in q.source} - {d.id for d in documents})
    if absent:
        _warn(f"{len(absent)} of the questions' sources are no documents of this folder, the first "
              f"is '{absent[0]}'. A document's id is its front matter's, else its path without "
              "ending; 'cites' cannot be right there.")
    sitting = sit(assistant, questions, progress=sys.stderr.isatty())
    print(f"{assistant.name} on {len(questions)} questions over {len(documents)} documents\n")
    print(_report(sitting))
    if arguments.json:
        path = Path(arguments.json)
        _write(path, json.dumps(as_json(sitting), indent=1, ensure_ascii=False))
        print(f"\nEvery answer with its grades: {path}")
    return 0


def _writable(path: Path) -> None:
    """Finds out before an exam of many minutes whether its answers can be kept."""
    if path.is_dir():
        raise CourseError(f"{path} is a folder. Name a file.")
    probe = path.with_name(f".{path.name}.{os.getpid()}.probe")
    _write(probe, "")
    probe.unlink()


def _write(path: Path, text: str) -> None:
    try:
        in_one_piece(path, text)
    except OSError as problem:
        raise CourseError(f"{path} cannot be written ({problem.strerror}). Name another file."
                          ) from None


@_notes()
def calibrate(words: list[str]) -> int:
    """Chooses below which score the search says nothing, on questions of one's own."""
    parser = Parser("calibrate")
    parser.add_argument("--docs", required=True)
    parser.add_argument("--questions", required=True)
    arguments = parser.parse_args(words)
    questions = load_questions(arguments.questions)
    arguments.system = "extractive"  # a search and nothing else
    retriever = _assistant(arguments, load_documents(arguments.docs)).retriever
    found = calibration.calibrate(retriever, questions)
    print(f"{found}\nKept in {calibration.keep(found, arguments.docs)}; every system that searches "
          "this folder uses it. Grade them on other questions than these.")
    return 0


def as_json(sitting: Sitting) -> dict:
    """The metrics over all questions and by kind, and every question with its answer."""
    fields = ("id", "question", "answer", "retrieved", "cited", "grades", "ms", "kind")
    return {"system": sitting.system,
            "metrics": {k: v.as_dict() for k, v in sitting.metrics().items()},
            "by_kind": {kind: {k: v.as_dict() for k, v in found.items()}
                        for kind, found in sitting.by_kind().items()},
            "questions": [{f: row[f] for f in fields} for row in sitting.rows]}


def _common(parser: Parser) -> None:
    parser.add_argument("--docs", default=str(COMPANY))
    parser.add_argument("--system", default="rag", choices=list(SYSTEMS))


def _assistant(arguments, documents: list[Document]) -> Assistant:
    profile = choose()
    made = system(arguments.system, documents, profile,
                  index_file=_index_file(arguments.docs, profile), folder=arguments.docs)
    if made.retriever:
        too_long(made.retriever.index.chunks, made.retriever.embedder)  # warns of them
    return made


def _index_file(folder: str, profile: Profile) -> Path:
    """Where the folder's index is kept; the company's is that of the notebooks."""
    place = Path(folder).resolve()
    name = f"company-{profile.name}"
    if place != COMPANY.resolve():
        name = hashlib.sha256(f"{place} {profile.embedder}".encode()).hexdigest()[:12]
    return ROOT / "build" / "indexes" / f"{name}.npz"


def _warn(text: str) -> None:
    print(f"Note: {text}", file=sys.stderr)


def _report(sitting: Sitting) -> str:
    """The metrics, over all questions and then by kind."""
    lines = [f"{'':14s}{'value':>7s}  {'95 % interval':15s}{'n':>5s}"]
    overall = sitting.metrics()
    for name in METRICS:
        if name in overall:
            m = overall[name]
            lines.append(f"{name:14s}{m.value:7.2f}  [{m.low:.2f}, {m.high:.2f}]   {m.n:5d}")
    kinds = sitting.by_kind()
    if len(kinds) > 1:
        lines.append("\nby kind")
        for kind, found in sorted(kinds.items()):
            for word in ("facts", "fresh", "abstains"):
                if word in found and not (word == "fresh" and "facts" in found):
                    main = found[word]
                    lines.append(f"  {kind:15s} {word:9s}{main.value:5.2f}  [{main.low:.2f}, "
                                 f"{main.high:.2f}]   {main.n:4d}")
    return "\n".join(lines)
