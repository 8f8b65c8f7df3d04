"""Every notebook keeps to the anatomy of the course; what nbval cannot see is checked here."""

import json
import re
import statistics
from pathlib import Path

import pytest

from utils import course

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = course.notebooks()
PLACES = re.compile(r"/(home|root|work|tmp|Users)/|[A-Z]:\\\\")
SECRETS = re.compile(r"sk-[A-Za-z0-9]{20}|hf_[A-Za-z0-9]{20}|AKIA[0-9A-Z]{16}")


def load(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def source(cell: dict) -> str:
    return "".join(cell["source"])


def code_cells(book: dict) -> list[dict]:
    return [c for c in book["cells"] if c["cell_type"] == "code"]


def test_there_are_notebooks():
    assert NOTEBOOKS and NOTEBOOKS[0].name == "00_start_here.ipynb"


def test_no_notebook_takes_threads_from_torch():
    """FAISS shares its OpenMP with torch: one thread for the one is one thread for both."""
    for path in NOTEBOOKS:
        assert not [c for c in code_cells(load(path)) if "set_num_threads" in source(c)], path.name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_cells_are_short(path):
    book = load(path)
    lines = [len([x for x in source(c).splitlines() if x.strip()]) for c in code_cells(book)]
    assert len(book["cells"]) <= 60
    assert statistics.median(lines) <= 6 and max(lines) <= 30
    for cell in code_cells(book):
        assert all(len(x) <= 88 for x in source(cell).splitlines()), source(cell)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_cells_run_anywhere(path):
    for cell in code_cells(load(path)):
        assert not re.search(r"(?m)^\s*[!%]", source(cell)), source(cell)
        assert not set(cell["metadata"].get("tags", [])) & {"nbval-skip", "raises-exception"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_outputs_are_stored_in_order(path):
    book = load(path)
    counts = [c["execution_count"] for c in code_cells(book)]
    assert counts == list(range(1, len(counts) + 1))
    assert "widgets" not in book["metadata"]
    text = json.dumps(book, ensure_ascii=False)
    assert not PLACES.search(text) and not SECRETS.search(text)
    for cell in code_cells(book):
        for output in cell["outputs"]:
            assert output["output_type"] != "error", source(cell)
            assert output.get("name") != "stderr", output


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_anatomy(path):
    text = "\n".join(source(c) for c in load(path)["cells"] if c["cell_type"] == "markdown")
    assert text.startswith("# ")
    for part in ("You will be able to", "minutes on a CPU", "## What you measured",
                 "## When it goes wrong", "## Where next", "colab.research.google.com"):
        assert part in text, part
    exercises = len(re.findall(r"(?m)^### Exercise", text))
    assert 2 <= exercises <= 4
    assert text.count("<summary>Hint</summary>") == text.count("<summary>Solution</summary>") \
        == exercises
    for image in re.findall(r"!\[([^\]]*)\]", text):
        assert image.strip(), "a picture without alt text"


def test_the_set_up_cell_is_the_same_everywhere():
    first = {source(code_cells(load(p))[0]) for p in NOTEBOOKS}
    assert len(first) == 1
    assert course.repository() in first.pop()


def test_every_link_names_the_repository(capsys):
    assert course.links([]) == 0


def test_the_readme_tells_what_a_newcomer_needs():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first_screen = "\n".join(text.splitlines()[:45])
    for part in ("python3 -m utils run", "python3 -m utils test", "python3 -m utils lab",
                 "you will be able to", "minutes", "Colab"):
        assert part in first_screen, part
    assert not re.search(r"[A-Z]+_(TIME|SIZE|00)\b|TIME_\d", text), "an unfilled figure"
    for path in NOTEBOOKS:
        assert path.name in text, path.name
    for link in re.findall(r"\]\(((?!https?:)[^)#]+)\)", text):
        assert (ROOT / link).exists(), link
