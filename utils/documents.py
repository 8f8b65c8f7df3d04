"""A folder of Markdown, text, HTML or PDF files -> a list of documents.

Reads what a real folder holds: front matter or none, UTF-8 or not quite, an empty file, a
broken PDF. A bad file is named in a warning and left out; the good ones beside it are loaded.
It does not cut documents up (`chunking`), and it never writes to the folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from utils.hypertext import read_html

READERS = {".md": "markdown", ".markdown": "markdown", ".txt": "text", ".html": "html",
           ".htm": "html", ".pdf": "pdf"}
LARGEST = 10_000_000  # bytes; a bigger file is a book or a dump, and is asked to be split


class CourseError(Exception):
    """Something the reader can put right; the message says what, where and how."""


class BadFile(CourseError):
    """One file that cannot be used; the folder's other files still can."""


@dataclass(frozen=True)
class Document:
    """One document: the text that is searched and quoted, and what its front matter says."""

    id: str
    title: str
    text: str
    path: Path | None = None
    meta: dict = field(default_factory=dict)

    @property
    def checksum(self) -> str:
        """The text's sha256: tells an index whether this document changed."""
        return hashlib.sha256(f"{self.title}\n{self.text}".encode()).hexdigest()


def load_documents(folder: str | Path) -> list[Document]:
    """All documents of a folder and its subfolders, in the order of their paths."""
    folder = Path(folder)
    try:
        there = folder.exists()
    except OSError:  # a name of 300 letters is none
        there = False
    if not there:
        raise CourseError(f"There is no folder {folder}. Check the path; it is read from "
                          f"{Path.cwd()}.")
    if not folder.is_dir():
        raise CourseError(f"{folder} is a file, and a folder is needed. Name the folder that "
                          "holds it.")
    documents: dict[str, Document] = {}
    for path in _readable_files(folder):
        try:
            document = load_document(path, folder)
        except BadFile as problem:
            warnings.warn(f"Left out {problem}", stacklevel=2)
            continue
        if document.id in documents:
            first = documents[document.id].path
            warnings.warn(f"Left out {path}: its id '{document.id}' is already that of {first}. "
                          "Give one of them another id or name.", stacklevel=2)
            continue
        documents[document.id] = document
    if not documents:
        kinds = ", ".join(sorted(READERS))
        raise CourseError(f"No readable document in {folder}. The course reads {kinds}; files "
                          "called README and hidden ones are left out.")
    return list(documents.values())


def load_document(path: str | Path, folder: Path | None = None) -> Document:
    """One file as a document; its id is the front matter's, else its path in the folder."""
    path = Path(path)
    kind = READERS.get(path.suffix.lower())
    if kind is None:
        raise BadFile(f"{path}: files of this kind are not read. Save it as Markdown, text, "
                      "HTML or PDF.")
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise BadFile(f"{path}: {size:,} bytes are more than the {LARGEST:,} that "
                          "one document may have. Split it into parts.")
        raw = path.read_bytes()
    except OSError as problem:
        raise BadFile(f"{path}: it cannot be opened ({problem.strerror}). Check the file and "
                      "its permissions.") from None
    meta: dict = {}
    if kind == "pdf":
        title, text = _read_pdf(path)
    else:
        text = _decode(path, raw)
        title = ""
        if kind == "markdown":
            meta, text = _split_front_matter(path, text)
        elif kind == "html":
            title, text = read_html(text)
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip("\n")
    if not text.strip():
        raise BadFile(f"{path}: it is empty. Add its text or remove the file.")
    name = path.relative_to(folder).with_suffix("").as_posix() if folder else path.stem
    name, stem = (os.fsencode(n).decode("utf-8", "replace") for n in (name, path.stem))
    title = str(meta.get("title") or title or _first_heading(text) or _spoken(stem))
    return Document(str(meta.get("id") or name), title, text, path, meta)


def _readable_files(folder: Path) -> list[Path]:
    """The files worth reading; what cannot be looked into is named."""
    def shut(problem: OSError) -> None:
        warnings.warn(f"Left out {problem.filename}: it cannot be opened ({problem.strerror}). "
                      "Check its permissions.", stacklevel=3)

    found = []
    for place, inside, names in os.walk(folder, onerror=shut):
        inside[:] = [name for name in inside if not name.startswith(".")]
        for link in (path for name in inside if (path := Path(place, name)).is_symlink()):
            warnings.warn(f"Left out {link}: it is a link to a folder, and links are not "
                          "followed. Name that folder itself, or copy it here.", stacklevel=3)
        found += [Path(place, name) for name in names if not name.startswith(".")
                  and Path(name).suffix.lower() in READERS and Path(name).stem.upper() != "README"]
    return sorted(path for path in found if _is_file(path))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder may let its names be read and not its files: reading will tell
        return True


def _decode(path: Path, raw: bytes) -> str:
    binary = BadFile(f"{path}: it is a binary file, whatever its name says. Remove it or export "
                     "it as text.")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return raw.decode("utf-16")
        except UnicodeDecodeError:
            raise binary from None
    start = raw[:8192]
    if b"\x00" in start or sum(b < 9 or 13 < b < 32 for b in start) > len(start) / 50:
        raise binary
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = raw[: problem.start].count(b"\n") + 1
        warnings.warn(f"{path}, line {line}: not UTF-8; read as Windows-1252 (Latin-1) instead. "
                      "Save it as UTF-8 to be sure of every character.", stacklevel=4)
        return raw.decode("cp1252", errors="replace")


def _split_front_matter(path: Path, text: str) -> tuple[dict, str]:
    """The `key: value` lines between the first two `---`, and the rest."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if lines[0].strip() != "---":
        return {}, text
    end = next((i for i, line in enumerate(lines[1:], 1) if line.strip() == "---"), None)
    if end is None:
        raise BadFile(f"{path}, line 1: the front matter opened by '---' is never closed. Add "
                      "a second '---' line below it.")
    import yaml

    try:
        meta = yaml.load("\n".join(lines[1:end]), Loader=yaml.BaseLoader) or {}
    except yaml.YAMLError as problem:
        plain = [line.partition(": ") for line in lines[1:end] if line.strip()]
        if all(re.fullmatch(r"[\w-]+", key) and found for key, found, _ in plain):
            return ({key: text.strip().strip("\"'") for key, _, text in plain},
                    "\n".join(lines[end + 1:]))
        line = _broken_line(lines[1:end], getattr(problem, "problem_mark", None))
        raise BadFile(f"{path}, line {line}: the front matter is not valid YAML. Write it as "
                      "'key: value' lines.") from None
    if not isinstance(meta, dict):
        raise BadFile(f"{path}, line 2: the front matter holds no 'key: value' lines. Write "
                      "'title: …' or remove it.")
    return meta, "\n".join(lines[end + 1:])


def _broken_line(lines: list[str], mark) -> int:
    """The file's line to look at: the first that is no pair, as YAML may notice only later."""
    for number, line in enumerate(lines, 2):
        if line.strip() and not re.match(r"[\w-]+:(\s|$)|\s|#|- ", line):
            return number
    return mark.line + 2 if mark else 2


def _first_heading(text: str) -> str:
    match = re.search(r"^#{1,2}[ \t]+(.+?)(?:[ \t]+#+)?[ \t]*$", text, re.MULTILINE)
    return match.group(1) if match else ""


def _spoken(stem: str) -> str:
    return re.sub(r"[-_]+", " ", stem).strip().capitalize()


def _read_pdf(path: Path) -> tuple[str, str]:
    import logging

    import pypdf

    logging.getLogger("pypdf").setLevel(logging.ERROR)
    try:
        reader = pypdf.PdfReader(path)
        text = "\n\n".join(page.extract_text() for page in reader.pages)
        title = str((reader.metadata or {}).get("/Title") or "").strip()
        text, title = (t.encode("utf-8", "replace").decode() for t in (text, title))
    except Exception as problem:  # pypdf raises many kinds for one cause: the file is broken
        raise BadFile(f"{path}: the PDF cannot be read ({type(problem).__name__}). Open and "
                      "save it again with a PDF viewer.") from None
    if not text.strip():
        raise BadFile(f"{path}: the PDF holds no text, only pictures of it. Run it through "
                      "OCR first.")
    return title, text
