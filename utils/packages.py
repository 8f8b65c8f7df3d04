"""Which packages the course needs, which versions it pins, and what this interpreter lacks of them.

Read from pyproject.toml and constraints.txt with nothing but Python: it is asked before the rest
exists.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def pins() -> dict[str, list[tuple[str, str]]]:
    """package -> [(version, marker)] from constraints.txt."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)\s*(?:;\s*(.+))?$", line)
        if match:
            found.setdefault(normal(match[1]), []).append((match[2], (match[3] or "").strip()))
    return found


def requirements(extra: str | None = None) -> list[str]:
    """The requirement lines of pyproject.toml, those of one extra if it is named."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return list(lines)


def missing(extras: tuple[str, ...] = ("test",)) -> list[str]:
    """The required packages that this interpreter lacks or has outside the allowed range."""
    from importlib import metadata

    absent = []
    lines = requirements() + [line for extra in extras for line in requirements(extra)]
    for line in lines:
        name = re.match(r"[A-Za-z0-9._-]+", line).group()
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            absent.append(name)
            continue
        if not _allows(line, version or "0"):  # no version: a damaged installation
            absent.append(f"{name} (has {version}, needs {line[len(name):].split(';')[0].strip()})")
    return absent


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _allows(line: str, version: str) -> bool:
    """Whether a version fits the `>=a,<b` or `==a` part of a requirement line."""
    def numbers(text: str) -> tuple[int, ...]:
        return tuple(int(n) for n in re.match(r"[\d.]*", text).group().split(".") if n)

    for sign, bound in re.findall(r"(>=|<|==)\s*([\d.]+)", line.split(";")[0]):
        have, want = numbers(version), numbers(bound)
        size = max(len(have), len(want))
        have, want = have + (0,) * (size - len(have)), want + (0,) * (size - len(want))
        if not {">=": have >= want, "<": have < want, "==": have == want}[sign]:
            return False
    return True
