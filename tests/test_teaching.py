"""What the teacher's page promises is there: notebooks, headings, commands, times that add up."""

from __future__ import annotations

import json
import re

import pytest

from utils.__main__ import COMMANDS
from utils.course import NOTEBOOKS

PAGE = (NOTEBOOKS / "teaching.md").read_text(encoding="utf-8")
BOOKS = sorted(NOTEBOOKS.glob("0*.ipynb"))


def headings() -> set[str]:
    """The headings of all notebooks, without their marks and numbers."""
    cells = (cell for path in BOOKS for cell in json.loads(path.read_text("utf-8"))["cells"])
    lines = (line for cell in cells if cell["cell_type"] == "markdown"
             for line in "".join(cell["source"]).splitlines() if line.startswith("#"))
    return {line.lstrip("# ").strip() for line in lines}


@pytest.mark.parametrize("path", BOOKS, ids=lambda p: p.stem)
def test_every_notebook_has_a_part_under_its_own_title(path):
    title = "".join(json.loads(path.read_text("utf-8"))["cells"][0]["source"]).splitlines()[0]
    assert f"### {title.lstrip('# ')}\n" in PAGE


def test_headings_that_it_quotes_are_headings():
    quoted = [q for q in re.findall(r'(?:section\s+|03, )"([^"]+)"', PAGE)]
    assert len(quoted) == 2 and set(quoted) <= headings()


def test_commands_that_it_names_exist_and_links_lead_somewhere():
    assert set(re.findall(r"python3(?:\.\d+)? -m utils (\w+)", PAGE)) <= set(COMMANDS)
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (NOTEBOOKS / target).exists(), target


def test_the_minutes_of_the_short_format_follow_on_each_other_and_are_ninety():
    spans = [tuple(map(int, pair)) for pair in re.findall(r"^\| (\d+)–(\d+) \|", PAGE, re.M)]
    assert spans[0][0] == 0 and spans[-1][1] == 90
    assert all(one[1] == two[0] for one, two in zip(spans, spans[1:], strict=False))
