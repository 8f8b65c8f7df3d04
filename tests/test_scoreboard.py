"""The scoreboard keeps every row: of two notebooks at once, over a kill, beside damage."""

import os
import subprocess
import sys

import pytest

from utils.documents import CourseError
from utils.exam import ROOT, interval
from utils.scoreboard import one_search, read_scoreboard, record, table


@pytest.fixture
def board(tmp_path):
    path = tmp_path / "build" / "scoreboard.json"
    record("cpu", "rag", {"facts": interval([1, 0, 1])}, {"ms": 12.5}, path)
    return path


def test_rows_are_added_and_kept(board):
    record("cpu", "base", {"facts": interval([0])}, path=board)
    record("cpu", "rag", {"cites": interval([1])}, path=board)
    found = read_scoreboard(board)
    assert found["profile"] == "cpu" and set(found["systems"]) == {"rag", "base"}
    assert set(found["systems"]["rag"]) == {"facts", "cites"}
    assert found["systems"]["rag"]["facts"]["value"] == 0.6667
    assert found["costs"]["rag"] == {"ms": 12.5}


def test_another_profile_starts_a_new_board(board):
    found = record("gpu", "base", {"facts": interval([1])}, path=board)
    assert found["profile"] == "gpu" and set(found["systems"]) == {"base"}
    assert read_scoreboard(board) == found


def test_no_board_is_an_empty_board(tmp_path):
    found = read_scoreboard(tmp_path / "none.json")
    assert found == {"profile": None, "systems": {}, "costs": {}}
    assert table(found) == "Nothing is measured yet."


@pytest.mark.parametrize("moment", ["write_text", "replace"])
def test_a_kill_while_writing_leaves_the_old_board(board, monkeypatch, moment):
    old = board.read_bytes()

    def killed(self, *_, **__):
        if moment == "write_text":
            self.write_bytes(b'{"profile": "cp')  # half of it is on the disk
        raise KeyboardInterrupt

    monkeypatch.setattr(type(board), moment, killed)
    with pytest.raises(KeyboardInterrupt):
        record("cpu", "base", {"facts": interval([0])}, path=board)
    monkeypatch.undo()
    assert board.read_bytes() == old
    assert set(os.listdir(board.parent)) == {board.name, f".{board.name}.lock"}  # no half file


@pytest.mark.parametrize("content", [b'{"profile": "cpu", "sys', b"", b"[]", b"\xff\xfe\x00",
                                     b'{"profile": "cpu"}', b'{"systems": [], "costs": {}}'])
def test_a_damaged_board_is_named_with_its_remedy(board, content):
    board.write_bytes(content)
    for call in (read_scoreboard, lambda path: record("cpu", "rag", path=path)):
        with pytest.raises(CourseError, match=r"scoreboard\.json is damaged\. Delete it and run: "
                                              r"python3 -m utils run"):
            call(board)
    assert board.read_bytes() == content


def test_the_table_prints_every_system_and_keeps_figures_apart(board):
    for system in ("hybrid", "base", "my own"):
        record("cpu", system, {"facts": interval([0, 1, 1]), "cites": interval([0, 1, 1]),
                                    "route": interval([1])}, path=board)
    record("cpu", "only costs", costs={"ms": 1.0}, path=board)
    lines = table(read_scoreboard(board)).split("\n")
    assert [line[:12].strip() for line in lines] == ["", "base", "rag", "hybrid", "my own",
                                                     "only costs"]
    assert lines[0].split() == ["facts", "cites", "route"]
    assert lines[1].split()[1:] == ["0.67", "[0.00,1.00]"] * 2 + ["1.00", "[1.00,1.00]"]
    assert lines[2].split()[1:] == ["0.67", "[0.00,1.00]", "–", "–"]
    assert len({len(line) for line in lines}) == 1


def test_two_notebooks_that_record_at_once_lose_no_row(tmp_path):
    path = tmp_path / "scoreboard.json"
    line = ("import sys; from pathlib import Path; from utils.scoreboard import record\n"
            "for n in range(40): record('p', f'{sys.argv[1]}{n}', path=Path(sys.argv[2]))")
    both = [subprocess.Popen([sys.executable, "-c", line, name, str(path)], cwd=ROOT)
            for name in "ab"]
    assert [p.wait() for p in both] == [0, 0]
    assert len(read_scoreboard(path)["systems"]) == 80


def test_all_rows_count_the_same_search(tmp_path):
    path = tmp_path / "scoreboard.json"
    assert one_search("cpu", 400.0, path) == 400.0, "nothing is measured yet"
    record("cpu", "rag", costs={"ms_per_question": 900.0}, path=path)
    assert one_search("cpu", 400.0, path) == 400.0
    record("cpu", "extractive", costs={"ms_per_question": 650.0}, path=path)
    assert one_search("cpu", 400.0, path) == 650.0
    assert one_search("gpu", 40.0, path) == 40.0, "another profile's search is another search"
