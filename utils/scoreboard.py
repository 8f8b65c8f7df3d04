"""What was measured on this machine, system by system: one file that every notebook adds to."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from utils.documents import CourseError
from utils.exam import METRICS, ROOT, Interval
from utils.locks import alone, in_one_piece

SCOREBOARD = ROOT / "build" / "scoreboard.json"
STORED = ROOT / "notebooks" / "scoreboard.json"  # of the run that the README shows (`publish`)
SYSTEMS = ("extractive", "base", "prompted", "rag", "formed", "tuned", "hybrid_naive",
           "hybrid")


def read_scoreboard(path: Path = SCOREBOARD) -> dict:
    """What has been measured on this machine so far."""
    if not path.is_file():
        return {"profile": None, "systems": {}, "costs": {}}
    try:
        board = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        board = None
    if not isinstance(board, dict) or not all(
            isinstance(board.get(part), dict) for part in ("systems", "costs")):
        raise CourseError(f"{path} is damaged. Delete it and run: python3 -m utils run")
    return board


def record(profile: str, system: str, metrics: dict[str, Interval] | None = None,
           costs: dict[str, float] | None = None, path: Path = SCOREBOARD) -> dict:
    """Adds one system's row; a row of another profile starts a new board. Written in one piece.

    Two notebooks may be at it at once: the second waits until the first has written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(path.with_name(f".{path.name}.lock"), pause=0.05):
        return _recorded(profile, system, metrics or {}, costs or {}, path)


def _recorded(profile: str, system: str, metrics: dict[str, Interval], costs: dict[str, float],
              path: Path) -> dict:
    board = read_scoreboard(path)
    if board.get("profile") != profile:
        board = {"profile": profile, "systems": {}, "costs": {}}
    row = {name: value.as_dict() for name, value in metrics.items()}
    board["systems"].setdefault(system, {}).update(row)
    board["costs"].setdefault(system, {}).update(costs)
    in_one_piece(path, json.dumps(board, indent=1))
    return board


def completed(board: dict, stored: Path = STORED) -> tuple[dict, list[str]]:
    """The board with the rows that it lacks taken from the stored run, and which these are.

    Rows of two profiles are not put side by side: a board of another profile stays as it is.
    """
    other = read_scoreboard(stored)
    if board["profile"] not in (None, other["profile"]):
        return board, []
    added = [name for name in other["systems"] if name not in board["systems"]]
    return {"profile": other["profile"] or board["profile"],
            **{part: {**{name: other[part].get(name, {}) for name in added}, **board[part]}
               for part in ("systems", "costs")}}, added


def one_search(profile: str, measured: float, path: Path = SCOREBOARD) -> float:
    """The milliseconds of a search, alike in all rows: those of `extractive`, which only searches.

    Each notebook searches at another hour. Where that row is missing, what was measured counts.
    """
    board = read_scoreboard(path)
    if board["profile"] != profile:
        return measured
    return board["costs"].get("extractive", {}).get("ms_per_question", measured)


def table(board: dict, metrics: Iterable[str] = METRICS) -> str:
    """The scoreboard as text: one line a system, each figure with its interval."""
    systems = [s for s in SYSTEMS if s in board["systems"]]
    systems += [s for s in board["systems"] if s not in systems]
    if not systems:
        return "Nothing is measured yet."
    columns = [m for m in metrics if any(m in board["systems"][s] for s in systems)]
    width = max(len(s) for s in systems) + 2
    lines = ["".ljust(width) + "".join(c.rjust(18) for c in columns)]
    for system in systems:
        cells = []
        for column in columns:
            cell = board["systems"][system].get(column)
            cells.append("–" if cell is None else
                         f"{cell['value']:.2f} [{cell['low']:.2f},{cell['high']:.2f}]")
        lines.append(system.ljust(width) + "".join(c.rjust(18) for c in cells))
    return "\n".join(lines)
