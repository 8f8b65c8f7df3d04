"""The command `publish`: the last run's table and figure become those of the README.

For whoever keeps the course: after `run`, the figures on the README's first screens are written
from the scoreboard and never by hand. The prose around them stays, so read it again afterwards.
The scoreboard itself is kept beside the notebooks, for whoever opens 06 before the others.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Mapping

from utils.environment import ROOT
from utils.exam import METRICS
from utils.locks import in_one_piece
from utils.scoreboard import STORED, SYSTEMS, read_scoreboard

README = ROOT / "README.md"
FIGURE = ROOT / "notebooks" / "systems.png"
BEGIN, END = "<!-- scoreboard: written by `python3 -m utils publish` -->", "<!-- /scoreboard -->"
LEFT_OUT = {"answers"}  # stands in build/scoreboard.json; the table is wide enough without it


def publish(words: list[str]) -> int:
    """Writes the table into the README and the figure beside the notebooks."""
    board = read_scoreboard(ROOT / "build" / "scoreboard.json")
    absent = [name for name in SYSTEMS if name not in board["systems"]]
    drawn = ROOT / "build" / "systems.png"
    if absent or not drawn.is_file():
        print(f"Not everything is measured yet (missing: {', '.join(absent) or drawn.name}). Run "
              "the course first: python3 -m utils run", file=sys.stderr)
        return 2
    written = in_place(README.read_text(encoding="utf-8"), markdown(board))
    if written is None:
        print(f"README.md has no place for the table. Put these two lines where it belongs:\n"
              f"{BEGIN}\n{END}", file=sys.stderr)
        return 2
    README.write_text(written, encoding="utf-8")
    shutil.copyfile(drawn, FIGURE)
    in_one_piece(STORED, json.dumps(board, indent=1) + "\n")
    print(f"README.md and {FIGURE.relative_to(ROOT).as_posix()} show the last run.")
    return 0


def markdown(board: Mapping) -> str:
    """The scoreboard as a table in Markdown: a row a system, under each figure its interval."""
    columns = [m for m in METRICS if m not in LEFT_OUT
               and any(m in board["systems"].get(s, {}) for s in SYSTEMS)]
    lines = ["| | " + " | ".join([*columns, "ms a question"]) + " |",
             "|---|" + "---|" * (len(columns) + 1)]
    for name in SYSTEMS:
        cells = [_cell(board["systems"].get(name, {}).get(m)) for m in columns]
        spent = board["costs"].get(name, {}).get("ms_per_question")
        cells.append("–" if spent is None else f"{spent:.0f}")
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(found: Mapping | None) -> str:
    if found is None:
        return "–"
    value, low, high = (f"{found[k]:.2f}".removeprefix("0") for k in ("value", "low", "high"))
    return f"{value} <sub>{low}–{high}</sub>"


def in_place(text: str, table: str) -> str | None:
    """The README with the table between its two marks; None where the marks are missing."""
    place = re.compile(re.escape(BEGIN) + r"\n.*?" + re.escape(END), re.DOTALL)
    if not place.search(text):
        return None
    return place.sub(lambda _: f"{BEGIN}\n{table}\n{END}", text)
