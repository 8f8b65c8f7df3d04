"""The command `app`: the assistant behind a small page, on this machine only.

`app.html` is the whole page; it asks this server and shows what comes back: the reply, the
documents it cites, how it came about, the JSON. Nothing is fetched from elsewhere and nothing is
kept. It is made for one reader at a desk: to put an assistant on a network takes more than this.
"""

from __future__ import annotations

import json
import os
import secrets
import socketserver
import threading
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from sys import stdout
from urllib.parse import parse_qs, urlsplit

from utils import asking, grading
from utils.adapters import open_adapter
from utils.assistant import ADAPTERS, Answer, Assistant
from utils.diagnosis import passages_used
from utils.documents import CourseError, Document, load_documents
from utils.exam import Question, exam, grade
from utils.options import Parser

HOST = "127.0.0.1"
PAGE = Path(__file__).with_name("app.html")
LARGEST = 64_000  # bytes of a request; a question has 2,000 characters at most
POLICY = ("default-src 'none'; connect-src 'self'; img-src data:; style-src 'nonce-{0}'; "
          "script-src 'nonce-{0}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


@asking._notes()
def app(words: list[str]) -> int:
    """Serves the page until Ctrl-C."""
    parser = Parser("app")
    asking._common(parser)
    parser.add_argument("--port", type=int, default=0)
    lacking = _lacking()
    parser.set_defaults(system="rag" if lacking else "hybrid")
    arguments = parser.parse_args(words)
    if lacking and arguments.system == "rag":
        print(f"{lacking} This is rag.")
    documents = load_documents(arguments.docs)
    company = Path(arguments.docs).resolve() == asking.COMPANY.resolve()
    desk = Desk(asking._assistant(arguments, documents), documents, Path(arguments.docs).name,
                examples(exam("dev")) if company else [])
    with server(desk, arguments.port) as serving:
        address = "http://{}:{}/".format(*serving.server_address)
        print(f"{address}  (Ctrl-C ends it)", flush=True)
        if stdout.isatty():
            webbrowser.open(address)
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            print("\nClosed.")
    return 0


def _lacking() -> str:
    """Why the hybrid cannot answer yet; empty where its adapter is finished."""
    try:
        open_adapter(ADAPTERS / "hybrid")
    except CourseError:
        return "The hybrid's adapter is not trained to its end (notebook 05 does it)."
    return ""


class Desk:
    """The assistant and its documents; one question is answered at a time."""

    def __init__(self, assistant: Assistant, documents: Sequence[Document], folder: str,
                 examples: Sequence[str] = ()) -> None:
        self.assistant, self.folder, self.examples = assistant, folder, list(examples)
        self.documents = {d.id: d for d in documents}
        self.turn = threading.Lock()

    def about(self) -> dict:
        """What stands at the head of the page."""
        return {"system": self.assistant.name, "folder": self.folder,
                "documents": len(self.documents), "examples": self.examples}

    def ask(self, question: str) -> dict:
        """The answer, and everything that is known about it."""
        with self.turn:
            return as_json(self.assistant.answer(question), self.documents)

    def document(self, name: str, start: int, end: int) -> dict:
        """A document in three parts: before the passage, the passage, after it."""
        found = self.documents.get(name)
        if found is None:
            raise CourseError(f"There is no document '{name}'. The reply made it up.")
        start = min(max(0, start), len(found.text))
        end = min(max(start, end), len(found.text))
        return {"id": name, "title": found.title, "before": found.text[:start],
                "passage": found.text[start:end], "after": found.text[end:]}


def examples(questions: Sequence[Question]) -> list[str]:
    """One question of each of three kinds, to begin with."""
    first = {q.kind: q.question for q in reversed(questions)}
    return [first[kind] for kind in ("lookup", "table", "unanswerable") if kind in first]


def as_json(answer: Answer, documents: dict[str, Document]) -> dict:
    """An answer as JSON: what the page shows, and what other programs may want of it."""
    chunks = [h.chunk for h in answer.hits]
    used = {c.document: c for c in [*chunks[::-1], *passages_used(answer.text, chunks)]}
    cited = [{"id": name, "title": documents[name].title if name in documents else None,
              "start": used[name].start if name in used else 0,
              "end": used[name].end if name in used else 0} for name in answer.cited]
    valid = grade(Question("asked", answer.question, ()), answer.text)["format"]
    return {"question": answer.question, "text": answer.text,
            "reply": grading.spoken(answer.text), "house": grading.house_json(answer.text),
            "valid": bool(valid), "abstains": grading.abstains(answer.text), "cited": cited,
            "passages": [{"document": h.chunk.document, "place": h.chunk.place,
                          "start": h.chunk.start, "end": h.chunk.end, "text": h.chunk.text,
                          "score": round(h.score, 3), "ranks": h.ranks,
                          "shown": n in answer.shown}
                         for n, h in enumerate(answer.hits, 1)],
            "messages": list(answer.messages),
            "ms": {name: round(1000 * s) for name, s in answer.seconds.items()}}


# ---------------------------------------------------------------- the server


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # there it would share a port that is taken
    desk: Desk


def server(desk: Desk, port: int = 0) -> _Server:
    """A server on this machine's own address; port 0 is any that is free."""
    if not 0 <= port <= 65535:
        raise CourseError(f"--port {port} is no port. Choose one from 1024 to 65535.")
    try:
        made = _Server((HOST, port), _Handler)
    except OSError as problem:
        raise CourseError(f"Port {port} cannot be used ({problem.strerror}). Name another one, or "
                          "leave --port out: a free one is chosen.") from None
    made.desk = desk
    return made


class _Handler(BaseHTTPRequestHandler):
    """/ is the page; /about, /ask and /document speak JSON."""

    server: _Server

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        asked = {name: values[-1] for name, values in parse_qs(address.query).items()}
        if self._strange():
            return
        if address.path == "/":
            nonce = secrets.token_urlsafe(16)
            text = PAGE.read_text(encoding="utf-8").replace("NONCE", nonce)
            self._send(200, text.encode(), "text/html", POLICY.format(nonce))
        elif address.path == "/about":
            self._json(self.server.desk.about)
        elif address.path == "/document":
            self._json(lambda: self.server.desk.document(
                asked.get("id", ""), _number(asked.get("start")), _number(asked.get("end"))))
        else:
            self._refuse(404, "There is no such page. The assistant is at /.")

    def do_POST(self) -> None:
        if self._strange():
            return
        size = _number(self.headers.get("Content-Length"))
        if urlsplit(self.path).path != "/ask":
            return self._refuse(404, "Questions go to /ask.")
        if self.headers.get_content_type() != "application/json" or not 0 < size <= LARGEST:
            return self._refuse(400, 'Send {"question": "…"} as application/json, at most '
                                f"{LARGEST:,} bytes.")
        try:
            question = json.loads(self.rfile.read(size))["question"]
        except (ValueError, KeyError, TypeError, RecursionError):
            question = None
        if not isinstance(question, str):
            return self._refuse(400, 'Send a JSON object: {"question": "…"}.')
        self._json(lambda: self.server.desk.ask(question))

    def _strange(self) -> bool:
        """Refuses what another web site makes the reader's browser send."""
        own = {f"{name}:{self.server.server_address[1]}" for name in (HOST, "localhost")}
        origin = self.headers.get("Origin")
        if self.headers.get("Host") in own and (not origin or urlsplit(origin).netloc in own):
            return False
        self._refuse(403, "This page answers on its own address only.")
        return True

    def _json(self, make) -> None:
        try:
            found, status = make(), 200
        except CourseError as problem:
            found, status = {"error": str(problem)}, 400
        except Exception as problem:  # the page must hear of it, or it would wait for ever
            found, status = {"error": f"{type(problem).__name__}: {problem}"}, 500
        self._send(status, json.dumps(found).encode(), "application/json")

    def _refuse(self, status: int, why: str) -> None:
        self._send(status, json.dumps({"error": why}).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str, policy: str = POLICY.format("")) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", f"{kind}; charset=utf-8"),
                            ("Content-Length", str(len(body))), ("Cache-Control", "no-store"),
                            ("X-Content-Type-Options", "nosniff"),
                            ("Content-Security-Policy", policy)):
            self.send_header(name, value)
        with suppress(ConnectionError):  # the tab was closed while the answer was made
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_) -> None:
        """The terminal stays quiet."""


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() else 0
