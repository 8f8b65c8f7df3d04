"""The commands behind `python3 -m utils`: run, test, lab, doctor, links.

Imports only the standard library at its head, so that `doctor` can speak where nothing else is
installed yet.
"""

from __future__ import annotations

import asyncio
import os
import platform
import re
import shutil
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
CELL_SECONDS = 900


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
    from utils.exam import read_scoreboard, table

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

    def obey_ctrl_c(notebook) -> None:  # nbclient's own handler ends in an AssertionError
        def stop() -> None:
            stopped.append(True)
            task.cancel()

        task = asyncio.current_task()
        if os.name != "nt":  # there Ctrl-C comes as a KeyboardInterrupt by itself
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop)

    client = NotebookClient(book, timeout=CELL_SECONDS, kernel_name="python3",
                            resources={"metadata": {"path": str(path.parent)}},
                            extra_arguments=["--log-level=CRITICAL"],
                            on_notebook_start=obey_ctrl_c,
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
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-cell-timeout=600",
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
    """What the two halves of `test` run: the notebooks that train, and everything else."""
    training = [p for p in notebooks() if re.match(r"0[45]_|tuning_", p.name)]
    rest = [p for p in notebooks() if p not in training]
    return (["tests", *(str(p.relative_to(ROOT)) for p in rest)],
            [str(p.relative_to(ROOT)) for p in training])


def lab(words: list[str]) -> int:
    """JupyterLab in the notebooks' folder."""
    command = [sys.executable, "-m", "jupyter", "lab", "--notebook-dir", str(ROOT),
               "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb", *words]
    return environment.call(command, cwd=ROOT)


# ---------------------------------------------------------------- doctor


def doctor(words: list[str]) -> int:
    """Prints what this machine has, what is wrong with it, and what to do about each."""
    problems: list[str] = []

    def line(name: str, text: str, problem: str | None = None, mark: str = "ok") -> None:
        print(f"{'!!' if problem else mark}  {name:<10} {text}")
        if problem:
            print(f"    {'':<10} {problem}")
            problems.append(problem)

    wrong_python = environment.python_problem()
    if not wrong_python and not environment.inside_venv() and environment.stamped():
        sys.stdout.flush()
        return subprocess.call([str(environment.venv_python()), "-m", "utils", "doctor"],
                               cwd=ROOT, env=environment.with_root())
    line("Python", f"{platform.python_version()} ({sys.executable})", wrong_python)
    if wrong_python:
        print("\nNothing else is checked before that is put right.")
        return 1
    line("system", f"{platform.system()} {platform.release()}, {platform.machine()}, "
                   f"{os.cpu_count()} CPU cores")
    memory = _memory_gb()
    line("memory", f"{memory:.0f} GB" if memory else "unknown",
         "The course needs about 4 GB; use a larger machine, or open it on Colab."
         if memory and memory < 3.5 else None)
    free = shutil.disk_usage(ROOT).free / 1e9
    ready = environment.inside_venv() or not environment.missing()
    line("disk", f"{free:.0f} GB free", f"Make room: the set-up needs {environment.FREE_GB:.0f} GB."
         if free < environment.FREE_GB and not ready else None)
    _doctor_packages(line)
    _doctor_gpu(line)
    _doctor_profiles(line)
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
        if version not in [v for v, _ in pinned.get(environment.normal(name), [])]:
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
    except ModuleNotFoundError:
        line("GPU", "not checked: torch is not installed yet", mark="--")
        return
    except (ImportError, OSError) as problem:  # installed, but a library of the system is missing
        line("GPU", "not checked", f"PyTorch cannot be loaded: {problem}. Delete .venv and run: "
             "python3 -m utils run")
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


def _doctor_profiles(line) -> None:
    from utils.profiles import PROFILES

    for profile in PROFILES.values():
        try:
            why = profile.why_not()
        except ImportError as problem:
            why = f"{problem.name} is not installed yet."
        text = f"{profile.name:<9} {profile.where}: "
        if not why:
            line("profile", text + "usable")
        elif profile.name == "embedded":  # the one that has to work everywhere
            line("profile", text + "no", why[0].upper() + why[1:])
        else:
            line("profile", text + f"no, {why}", mark="--")


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
