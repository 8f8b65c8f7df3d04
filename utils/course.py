"""The commands that keep the course going: run, test, lab, links."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from utils import environment
from utils.environment import spoken

ROOT = environment.ROOT
NOTEBOOKS = ROOT / "notebooks"
BUILD = ROOT / "build"
LINK = re.compile(r"(https://colab\.research\.google\.com/github/)([\w.-]+/[\w.-]+)(/blob/)")
CLONE = re.compile(r"(https://github\.com/)([\w.-]+/[\w.-]+?)(\.git\b)")
ADDRESS = re.compile(r"(?:https://github\.com/)?([\w.-]+/[\w.-]+?)(?:\.git)?/?")
CELL_SECONDS = 1800  # a training on one slow core takes its time; a hanging cell is stopped


def notebooks() -> list[Path]:
    """The course's notebooks in their order, the extras after them."""
    return [*sorted(NOTEBOOKS.glob("[0-9]*.ipynb")), *sorted(NOTEBOOKS.glob("extras/*.ipynb"))]


def run(words: list[str]) -> int:
    """Executes the notebooks in order; stops at the first failure."""
    chosen = [p for p in notebooks() if p.parent == NOTEBOOKS]
    if words:
        # "1", "01", "01_name" and the path that the shell completes all mean the same notebook.
        words = [Path(w).name.zfill(2) for w in words]
        unknown = [w for w in words if not any(p.name.startswith(w) for p in notebooks())]
        if unknown:
            names = ", ".join(p.stem for p in notebooks()) or "none"
            print(f"No notebook begins with '{unknown[0]}'. There are: {names}.", file=sys.stderr)
            return 2
        chosen = [p for p in notebooks() if any(p.name.startswith(w) for w in words)]
    began = time.monotonic()
    for number, path in enumerate(chosen, 1):
        print(f"[{number}/{len(chosen)}] {path.stem} …", flush=True)
        start = time.monotonic()
        failure = _execute(path)
        if failure:
            print(f"      failed after {spoken(time.monotonic() - start)}\n\n{failure}",
                  file=sys.stderr)
            return 1
        print(f"      done in {spoken(time.monotonic() - start)}", flush=True)
    print(f"\n{len(chosen)} notebook{'s' * (len(chosen) != 1)} in "
          f"{spoken(time.monotonic() - began)}.\n")
    from utils.scoreboard import read_scoreboard, table

    board = read_scoreboard(BUILD / "scoreboard.json")
    print(f"Scoreboard, profile {board['profile'] or 'embedded'} (mean, 95 % interval)\n")
    print(table(board))
    return 0


def _execute(path: Path) -> str | None:
    """Runs one notebook into build/notebooks/; the failing cell and its error, or None."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    name = path.relative_to(ROOT)
    try:
        book = nbformat.read(path, as_version=4)
    except ValueError:
        return f"{name} is damaged: it is no notebook. Restore it with: git checkout {name}"
    out = BUILD / "notebooks" / path.name
    out.parent.mkdir(parents=True, exist_ok=True)
    begun, stopped = [0], []

    def obey_a_stop(notebook) -> None:  # nbclient's own handler ends in an AssertionError
        def stop() -> None:
            stopped.append(True)
            task.cancel()

        task = asyncio.current_task()
        if os.name != "nt":  # there Ctrl-C comes as a KeyboardInterrupt by itself
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, stop)

    client = NotebookClient(book, timeout=CELL_SECONDS, kernel_name="python3",
                            resources={"metadata": {"path": str(path.parent)}},
                            extra_arguments=["--log-level=CRITICAL"],
                            on_notebook_start=obey_a_stop,
                            on_cell_start=lambda cell, cell_index: begun.append(cell_index))
    error = None
    try:
        client.execute()
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except CellExecutionError as problem:
        error = f"{problem.ename}: {problem.evalue}"
    except CellTimeoutError:
        error = (f"The cell ran longer than {CELL_SECONDS} s and was stopped. Close other programs "
                 "and run it again.")
    except DeadKernelError:
        if stopped:
            raise KeyboardInterrupt from None
        error = ("The notebook's Python ended in this cell, most often for want of memory. Close "
                 "other programs and run it again.")
    nbformat.write(book, out)
    if error is None:
        return None
    return (f"{name}, cell {begun[-1] + 1} of {len(book.cells)}:\n\n"
            f"{book.cells[begun[-1]].source}\n\n{error}\n\n"
            f"The notebook as far as it ran: {out.relative_to(ROOT)}")


def test(words: list[str]) -> int:
    """pytest over tests/, and nbval over every notebook: in two lanes at once, one core each.

    With options of one's own there is one lane.
    """
    environ = {**os.environ, "COURSE_PROFILE": "embedded", "HF_HUB_OFFLINE": "1",
               "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "pytest", "--nbval", f"--nbval-cell-timeout={CELL_SECONDS}",
               "--nbval-sanitize-with", str(ROOT / "tests" / "nbval.cfg"), *words]
    if words or (os.cpu_count() or 1) < 2:
        return environment.call(command, cwd=ROOT, env=environ)
    first, second = lanes()
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "second-lane.log").open("w+", encoding="utf-8", errors="replace") as log:
        other = subprocess.Popen([*command, "-p", "no:cacheprovider", *second], cwd=ROOT,
                                 env=environ, stdout=log, stderr=subprocess.STDOUT)
        try:
            code = environment.call([*command, *first], cwd=ROOT, env=environ)
            print("\nThe notebooks that ran beside these:", flush=True)
            beside = other.wait()
        finally:
            other.kill()
        log.seek(0)
        print(log.read(), flush=True)
    return code or beside


def lanes() -> tuple[list[str], list[str]]:
    """What the two halves of `test` run: the notebooks that train, with 06 which reads what they
    have measured, and everything else."""
    training = [p for p in notebooks() if re.match(r"0[456]_|tuning_", p.name)]
    rest = [p for p in notebooks() if p not in training]
    return (["tests", *(str(p.relative_to(ROOT)) for p in rest)],
            [str(p.relative_to(ROOT)) for p in training])


def lab(words: list[str]) -> int:
    """JupyterLab in the notebooks' folder."""
    command = [sys.executable, "-m", "jupyter", "lab", "--notebook-dir", str(ROOT),
               "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb", *words]
    return environment.call(command, cwd=ROOT)


# ---------------------------------------------------------------- links


def repository() -> str:
    """The repository's address, from the one place where it stands."""
    import tomllib

    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["tool"]["course"]["repository"]


def linked_files() -> list[Path]:
    """The files that may hold a link to the repository."""
    return [ROOT / "README.md", *NOTEBOOKS.glob("*.md"), *notebooks()]


def links(words: list[str]) -> int:
    """Writes the address into pyproject.toml and every link, or checks that they agree."""
    if words:
        match = ADDRESS.fullmatch(words[0])
        if not match:
            print(f"'{words[0]}' is not an address of the form OWNER/NAME.", file=sys.stderr)
            return 2
        path = ROOT / "pyproject.toml"
        _write(path, re.sub(r'(?m)^repository = "[^"]*"', f'repository = "{match[1]}"',
                            _read(path)))
    address, wrong = repository(), []
    for path in linked_files():
        if not path.exists():
            continue
        text = _read(path)
        new = LINK.sub(rf"\g<1>{address}\g<3>", CLONE.sub(rf"\g<1>{address}\g<3>", text))
        if new != text and words:
            _write(path, new)
        elif new != text:
            wrong.append(path.relative_to(ROOT).as_posix())
    print(f"The repository's address is {address}.")
    for name in wrong:
        print(f"{name} links to another one. Run: python3 -m utils links {address}",
              file=sys.stderr)
    return 1 if wrong else 0


# In bytes, so that nothing but the address changes: text mode would turn the line ends on Windows.
def _read(path: Path) -> str:
    return path.read_bytes().decode("utf-8")


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode("utf-8"))
