"""The commands behind `python3 -m utils`: run, test, lab, doctor, links.

Imports only the standard library at its head, so that `doctor` can speak where nothing else is
installed yet.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from utils import environment

ROOT = environment.ROOT
NOTEBOOKS = ROOT / "notebooks"
BUILD = ROOT / "build"
LINK = re.compile(r"(https://colab\.research\.google\.com/github/)([\w.-]+/[\w.-]+)(/blob/)")
CLONE = re.compile(r"(https://github\.com/)([\w.-]+/[\w.-]+?)(\.git)")


def notebooks() -> list[Path]:
    """The course's notebooks in their order, the extras after them."""
    return [*sorted(NOTEBOOKS.glob("[0-9]*.ipynb")), *sorted(NOTEBOOKS.glob("extras/*.ipynb"))]


def run(words: list[str]) -> int:
    """Executes the notebooks in order; stops at the first failure."""
    chosen = [p for p in notebooks() if p.parent == NOTEBOOKS]
    if words:
        unknown = [w for w in words if not any(p.name.startswith(w) for p in notebooks())]
        if unknown:
            names = ", ".join(p.stem for p in notebooks())
            print(f"No notebook begins with '{unknown[0]}'. There are: {names}.", file=sys.stderr)
            return 2
        chosen = [p for p in notebooks() if any(p.name.startswith(w) for w in words)]
    began = time.monotonic()
    for number, path in enumerate(chosen, 1):
        print(f"[{number}/{len(chosen)}] {path.stem} …", flush=True)
        start = time.monotonic()
        failure = _execute(path)
        if failure:
            print(f"      failed after {_spoken(time.monotonic() - start)}\n\n{failure}",
                  file=sys.stderr)
            return 1
        print(f"      done in {_spoken(time.monotonic() - start)}", flush=True)
    print(f"\n{len(chosen)} notebooks in {_spoken(time.monotonic() - began)}.\n")
    from utils.exam import read_scoreboard, table

    board = read_scoreboard()
    print(f"Scoreboard, profile {board['profile'] or 'embedded'} (mean, 95 % interval)\n")
    print(table(board))
    return 0


def _execute(path: Path) -> str | None:
    """Runs one notebook into build/notebooks/; the failing cell and its error, or None."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    book = nbformat.read(path, as_version=4)
    client = NotebookClient(book, timeout=900, kernel_name="python3",
                            resources={"metadata": {"path": str(path.parent)}})
    out = BUILD / "notebooks" / path.name
    out.parent.mkdir(parents=True, exist_ok=True)
    failure = None
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as problem:
        at = next((i for i, c in enumerate(book.cells) if any(
            o.get("output_type") == "error" for o in c.get("outputs", []))), None)
        source = book.cells[at].source if at is not None else ""
        error = "" if at is None else next(
            f"{o['ename']}: {o['evalue']}" for o in book.cells[at].outputs
            if o["output_type"] == "error")
        error = error or f"{type(problem).__name__}: {str(problem).strip().splitlines()[-1]}"
        failure = (f"{path.relative_to(ROOT)}, cell {at + 1 if at is not None else '?'}:\n\n"
                   f"{source}\n\n{error}\n\nThe notebook as far as it ran: "
                   f"{out.relative_to(ROOT)}")
    nbformat.write(book, out)
    return failure


def test(words: list[str]) -> int:
    """pytest over tests/, and nbval over every notebook, in one run."""
    environ = {**os.environ, "COURSE_PROFILE": "embedded", "HF_HUB_OFFLINE": "1",
               "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), "PYTHONUTF8": "1"}
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-cell-timeout=600",
               "--nbval-sanitize-with", str(ROOT / "tests" / "nbval.cfg"), *words]
    return subprocess.call(command, cwd=ROOT, env=environ)


def lab(words: list[str]) -> int:
    """JupyterLab in the notebooks' folder."""
    command = [sys.executable, "-m", "jupyter", "lab", "--notebook-dir", str(ROOT),
               "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb", *words]
    return subprocess.call(command, cwd=ROOT)


# ---------------------------------------------------------------- doctor


def doctor(words: list[str]) -> int:
    """Prints what this machine has, what is wrong with it, and what to do about each."""
    python = environment.venv_python()
    if not environment.inside_venv() and environment._stamped(python):
        return subprocess.call([str(python), "-m", "utils", "doctor"], cwd=ROOT,
                               env=environment._with_root())
    problems: list[str] = []

    def line(name: str, text: str, problem: str | None = None) -> None:
        print(f"{'!!' if problem else 'ok'}  {name:<10} {text}")
        if problem:
            print(f"    {'':<10} {problem}")
            problems.append(problem)

    line("Python", f"{platform.python_version()} ({sys.executable})", environment.python_problem())
    if problems:
        print("\nNothing else is checked before that is put right.")
        return 1
    line("system", f"{platform.system()} {platform.release()}, {platform.machine()}, "
                   f"{os.cpu_count()} CPU cores")
    memory = _memory_gb()
    line("memory", f"{memory:.0f} GB" if memory else "unknown",
         "The course needs about 4 GB; close other programs." if memory and memory < 3.5 else None)
    free = shutil.disk_usage(ROOT).free / 1e9
    ready = environment.inside_venv() or not environment.missing()
    line("disk", f"{free:.0f} GB free", f"Make room: the set-up needs {environment.FREE_GB:.0f} GB."
         if free < environment.FREE_GB and not ready else None)
    _doctor_packages(line)
    _doctor_gpu(line)
    try:
        from utils.profiles import PROFILES

        for profile in PROFILES.values():
            why = profile.why_not()
            text = f"{profile.name:<9} {profile.where}: " + ("usable" if not why else f"no, {why}")
            line("profile", text, why if profile.name == "embedded" else None)
    except ImportError as problem:
        line("profile", "not checked", f"{problem}. Run: python3 -m utils run")
    print("\nAll is well." if not problems else
          f"\n{len(problems)} thing{'s' * (len(problems) > 1)} to put right, marked with !!.")
    return 1 if problems else 0


def _doctor_packages(line) -> None:
    from importlib import metadata

    pinned = environment.pins()
    absent = environment.missing()
    other = []
    for name in sorted({re.match(r"[A-Za-z0-9._-]+", r).group() for r in
                        environment.requirements() + environment.requirements("test")}):
        try:
            version = metadata.version(name).split("+")[0]
        except metadata.PackageNotFoundError:
            continue
        if version not in [v for v, _ in pinned.get(environment._normal(name), [])]:
            other.append(f"{name} {version}")
    if absent:
        shown = ", ".join(absent[:4]) + (f" and {len(absent) - 4} more" if len(absent) > 4 else "")
        line("packages", "incomplete", f"Missing or out of range: {shown}. Run: python3 -m utils "
             "run, which sets up .venv")
    else:
        line("packages", "all there" + (f"; not the tested version: {', '.join(other)}"
                                        if other else ", all at the tested versions"))


def _doctor_gpu(line) -> None:
    try:
        import torch
    except ImportError:
        line("GPU", "not checked: torch is not installed yet")
        return
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            real = torch.cuda.is_bf16_supported(including_emulation=False)
            size = torch.cuda.get_device_properties(i).total_memory / 1e9
            line("GPU", f"{torch.cuda.get_device_name(i)}, {size:.0f} GB, bf16 "
                        + ("in hardware" if real else "emulated only: fp16 is used"))
    elif environment.has_nvidia():
        line("GPU", "an NVIDIA GPU is there, but this torch cannot use it "
                    f"({torch.__version__}); the CPU is used")
    else:
        line("GPU", "none; everything runs on the CPU")


def _memory_gb() -> float | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, ValueError, OSError):
        try:
            import psutil

            return psutil.virtual_memory().total / 1e9
        except ImportError:
            return None


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
    if words and not re.fullmatch(r"[\w.-]+/[\w.-]+", words[0]):
        print(f"'{words[0]}' is not an address of the form OWNER/NAME.", file=sys.stderr)
        return 2
    if words:
        path = ROOT / "pyproject.toml"
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r'(?m)^repository = ".*"$', f'repository = "{words[0]}"', text),
                        encoding="utf-8")
    address, wrong = repository(), []
    for path in linked_files():
        if not path.exists():
            continue
        text = path.read_text(encoding="utf-8")
        new = LINK.sub(rf"\g<1>{address}\g<3>", CLONE.sub(rf"\g<1>{address}\g<3>", text))
        if new != text and words:
            path.write_text(new, encoding="utf-8")
        elif new != text:
            wrong.append(str(path.relative_to(ROOT)))
    print(f"The repository's address is {address}.")
    for name in wrong:
        print(f"{name} links to another one. Run: python3 -m utils links {address}",
              file=sys.stderr)
    return 1 if wrong else 0


def _spoken(seconds: float) -> str:
    return environment._spoken(seconds)


