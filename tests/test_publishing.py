"""The README's table is the scoreboard's, and nothing is published half."""

import json

import pytest

from utils import publishing
from utils.scoreboard import SYSTEMS

CELL = {"value": 0.5, "low": 0.4, "high": 1.0, "n": 10}
BOARD = {"profile": "embedded", "systems": {name: {"facts": CELL} for name in SYSTEMS},
         "costs": {"rag": {"ms_per_question": 212.4}}}
TEXT = f"# Course\n\n{publishing.BEGIN}\nold\n{publishing.END}\n\nProse.\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(publishing, "ROOT", tmp_path)
    monkeypatch.setattr(publishing, "README", tmp_path / "README.md")
    monkeypatch.setattr(publishing, "FIGURE", tmp_path / "systems.png")
    monkeypatch.setattr(publishing, "STORED", tmp_path / "notebooks" / "scoreboard.json")
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "systems.png").write_bytes(b"a picture")
    (tmp_path / "README.md").write_text(TEXT, encoding="utf-8")
    return tmp_path


def save(place, board):
    (place / "build" / "scoreboard.json").write_text(json.dumps(board), encoding="utf-8")


def test_the_table_replaces_the_old_one_and_nothing_else(place):
    save(place, BOARD)
    assert publishing.publish([]) == 0 and publishing.publish([]) == 0
    text = (place / "README.md").read_text(encoding="utf-8")
    assert "old" not in text and text.startswith("# Course\n") and text.endswith("Prose.\n")
    assert "| `rag` | .50 <sub>.40–1.00</sub> | 212 |" in text
    assert "| `base` | .50 <sub>.40–1.00</sub> | – |" in text
    assert (place / "systems.png").read_bytes() == b"a picture"
    assert json.loads((place / "notebooks" / "scoreboard.json").read_text()) == BOARD


def test_a_missing_system_is_named_and_nothing_written(place, capsys):
    few = {**BOARD, "systems": {"rag": {"facts": CELL}}}
    save(place, few)
    assert publishing.publish([]) == 2 and "hybrid" in capsys.readouterr().err
    assert (place / "README.md").read_text(encoding="utf-8") == TEXT


def test_without_marks_it_says_where_they_belong(place, capsys):
    save(place, BOARD)
    (place / "README.md").write_text("# Course\n", encoding="utf-8")
    assert publishing.publish([]) == 2 and publishing.BEGIN in capsys.readouterr().err
