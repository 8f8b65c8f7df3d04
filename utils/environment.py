"""Makes and checks the course's environment. Standard library only: it runs before the rest exists.

The pins in constraints.txt decide. A stamp written last, after everything is installed, tells
whether a set-up is complete and current; a set-up that was interrupted has none and is redone.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import deque
from contextlib import contextmanager
from pathlib import Path

from utils import packages
from utils.locks import alone

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
STAMP = VENV / "course-stamp"
LOCK = ROOT / "build" / "setup-lock"
WHEELS = ROOT / "wheels"  # where the course was carried here by `export`
FITS = "fits.json"  # written into it last: the systems and Pythons its packages are for
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
FREE_GB = 4.0  # 2.5 installed, the rest for the downloads
AGAIN = "Check the network, then run the command again: it goes on from here."
NOT_FIT = ("The packages that came with the course, in its folder wheels, do not fit this "
           "machine. Use another stick, or delete that folder to install over the network.")
DISK_FULL = ("no space left", "not enough space on the disk", "quota exceeded")
OLDEST, NEWEST = (3, 11), (3, 13)
# glibc hands large blocks back to the system as soon as they are free, and a training asks for the
# same ones at every step: what is kept makes it a fifth faster. Other systems do not look at these.
# And numpy's own threads have to wait for a core until torch's stop looking for work: with one of
# them a search takes four fifths of the time.
QUICKER = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
           "MALLOC_TOP_PAD_": str(16 << 20), "OPENBLAS_NUM_THREADS": "1"}


class SetupError(Exception):
    """The environment cannot be made; the message says why and what to do."""


def python_problem(version: tuple[int, ...] = tuple(sys.version_info[:2])) -> str | None:
    """Why this Python cannot run the course, or None."""
    if OLDEST <= tuple(version[:2]) <= NEWEST:
        return None
    found = ".".join(str(n) for n in version[:2])
    return (f"This is Python {found}; the course needs 3.11, 3.12 or 3.13. Install one of them and "
            "call it by name, for example: python3.12 -m utils run")


def check_python() -> None:
    problem = python_problem()
    if problem:
        raise SetupError(problem)


def venv_python() -> Path:
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def inside_venv() -> bool:
    return Path(sys.prefix).resolve() == VENV.resolve()


def fingerprint() -> str:
    """Changes when the pins or the requirements change, or the course is moved."""
    parts = [(ROOT / "constraints.txt").read_text(encoding="utf-8"), *packages.requirements(),
             *packages.requirements("test"), str(ROOT)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


# ---------------------------------------------------------------- making it


def ensure() -> None:
    """Returns inside a complete environment; makes it and starts again in it if need be."""
    check_python()
    if not inside_venv() and not packages.missing():
        return
    if not _complete():
        with _only_one():
            if not _complete():  # another set-up may have made it meanwhile
                _make()
    if not inside_venv():
        _reenter()
    importlib.invalidate_caches()
    if packages.missing():
        raise SetupError(f"The set-up ended without {', '.join(packages.missing())}. Delete {VENV} "
                         "and run the command again.")


def _complete() -> bool:
    """Whether .venv has what the course needs; from outside only its stamp can be seen."""
    return stamped() and not (inside_venv() and packages.missing())


def stamped() -> bool:
    """Whether the set-up of .venv was finished, with the present pins."""
    if not venv_python().exists() or not (VENV / "pyvenv.cfg").exists():
        return False
    return _by_uv() or (STAMP.exists() and STAMP.read_text(encoding="utf-8") == fingerprint())


def _by_uv() -> bool:
    """Whether `uv sync` made .venv: it writes no stamp, and what it made is not for us to mend."""
    config = VENV / "pyvenv.cfg"
    return config.exists() and bool(
        re.search(r"(?m)^uv\s*=", config.read_text(encoding="utf-8", errors="replace")))


def _reenter() -> None:
    command = [str(venv_python()), "-m", "utils", *sys.argv[1:]]
    sys.stdout.flush()
    if os.name == "nt":
        raise SystemExit(call(command, env=surroundings()))
    os.execve(command[0], command, surroundings())


def call(command: list[str], **options) -> int:
    """Runs a program that answers Ctrl-C itself, and waits until it has done so."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        return subprocess.call(command, **options)
    finally:
        signal.signal(signal.SIGINT, before)


def surroundings() -> dict[str, str]:
    """The environment variables for Python: the course can be imported, and it is quicker."""
    path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH", "")) if p)
    return {**QUICKER, **os.environ, "PYTHONPATH": path}


def _make() -> None:
    if _by_uv():
        raise SetupError(f"{VENV} was made by uv and lacks {', '.join(packages.missing()[:4])}. "
                         "Run: uv sync --extra test")
    carried = _carried()
    print(f"Setting up the course in {VENV} (once; later starts skip this)"
          f"{', without a network' if carried else ''}.", flush=True)
    began = time.monotonic()
    STAMP.unlink(missing_ok=True)
    if _works(venv_python()):
        print("1/4  the environment exists, it is completed now", flush=True)
    elif inside_venv():
        raise SetupError(f"{VENV} is damaged. Leave it (deactivate), delete it and run the command "
                         "again.")
    else:
        shutil.rmtree(VENV, ignore_errors=True)
        _check_room()
        stage("1/4  creating the environment", [sys.executable, "-m", "venv", str(VENV)],
              remedy="On Debian and Ubuntu the package python"
                     f"{sys.version_info[0]}.{sys.version_info[1]}-venv must be installed first. "
                     "Then run the command again.")
    pip = [str(venv_python()), "-m", "pip", "install", "--disable-pip-version-check",
           "-c", str(ROOT / "constraints.txt"), *carried]
    remedy = NOT_FIT if carried else AGAIN
    _install_torch(pip, remedy)
    stage("3/4  installing the packages (a few minutes)",
          [*pip, *packages.requirements(), *packages.requirements("test")], remedy=remedy)
    stage("4/4  making the course importable", [str(venv_python()), "-c", _PTH])
    STAMP.write_text(fingerprint(), encoding="utf-8")
    print(f"The environment is ready ({spoken(time.monotonic() - began)}).\n", flush=True)


def _carried() -> list[str]:
    """pip's options where `export` has laid the packages beside the course; else none."""
    if not WHEELS.is_dir():
        return []
    try:
        there = json.loads((WHEELS / FITS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise SetupError(f"{WHEELS} is not complete: the export that made it was stopped. Make it "
                         "again, or delete that folder to install over the network.") from None
    mine = [platform.system(), ".".join(map(str, sys.version_info[:2]))]
    if mine not in there:
        named = ", ".join(f"{'macOS' if s == 'Darwin' else s} with Python {v}" for s, v in there)
        raise SetupError(f"The packages in {WHEELS} are for {named}; this is {mine[0]} with Python "
                         f"{mine[1]}. Call a Python that fits by name, such as python{there[0][1]} "
                         "-m utils run, or delete that folder to install over the network.")
    return ["--no-index", "--find-links", str(WHEELS)]


def _check_room() -> None:
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < FREE_GB:
        raise SetupError(f"The environment needs about {FREE_GB:.0f} GB and {ROOT} has {free:.1f} "
                         "GB free. Make room there, or clone the course onto a larger disk.")


# A .pth line instead of an editable install: it needs no build step and works offline. Python
# reads it in the locale's encoding up to 3.12 and as UTF-8 from 3.13 on.
_PTH = ("import pathlib, sys, sysconfig; "
        "pathlib.Path(sysconfig.get_paths()['purelib'], 'course.pth')"
        f".write_text({str(ROOT)!r} + '\\n', errors='replace', "
        "encoding='utf-8' if sys.version_info >= (3, 13) else 'locale')")


def _install_torch(pip: list[str], remedy: str = AGAIN) -> None:
    """PyTorch first: on Linux without an NVIDIA GPU its CPU build, a tenth of the download."""
    torch = "torch==" + packages.pins()["torch"][0][0]
    step = "2/4  installing PyTorch"
    if "--no-index" not in pip and platform.system() == "Linux" and not has_nvidia():
        # Without its dependencies: PyTorch's index lacks their pinned versions, step 3 brings them.
        if answers(TORCH_CPU_INDEX) and stage(
                step + " (CPU build)", [*pip, "--no-deps", torch, "--index-url", TORCH_CPU_INDEX],
                must=False):
            return
        print("     PyTorch's own index did not deliver; the default one is asked, whose build is "
              "several GB larger", flush=True)
    stage(step, [*pip, torch],
          remedy=f"{remedy} PyTorch is there for 64-bit Linux and Windows and for Macs with Apple "
                 "silicon; on another machine, open the course on Colab.")


def has_nvidia() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(urllib.request.Request(url + "/torch/", method="HEAD"), timeout=5)
    except Exception:  # whatever it is, the default index is asked instead
        return False
    return True


def _works(python: Path) -> bool:
    try:
        return subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True,
                              timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def stage(title: str, command: list[str], must: bool = True, remedy: str = AGAIN) -> bool:
    """Runs one step with its time beside it; the tail of its output if it fails."""
    began = time.monotonic()
    alive = sys.stdout.isatty()
    print(title, end="" if alive else "\n", flush=True)
    tail: deque[str] = deque(maxlen=12)
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              encoding="utf-8", errors="replace") as process:
            try:
                for line in process.stdout:
                    tail.append(line.rstrip())
                    if alive:
                        _overwrite(f"{title}  {spoken(time.monotonic() - began)}  {line.strip()}")
            except BaseException:  # Ctrl-C: the step must not go on behind the reader's back
                process.kill()
                raise
            failed = process.wait() != 0
    except OSError as problem:
        tail.append(str(problem))
        failed = True
    outcome = f"{'failed' if failed else 'done'} in {spoken(time.monotonic() - began)}"
    if alive:
        _overwrite(f"{title}: {outcome}")
        print(flush=True)
    else:
        print(f"     {outcome}", flush=True)
    if failed and must:
        text = "\n".join(tail)
        if any(sign in text.lower() for sign in DISK_FULL):
            raise SetupError(f"A disk is full, the one of {ROOT} or that of the temporary files in "
                             f"{tempfile.gettempdir()}. Make room (about {FREE_GB:.0f} GB) and run "
                             "the command again; it goes on from here.")
        raise SetupError(f"{text}\n\nThe step '{title}' failed; the lines above are its last "
                         f"ones. {remedy}")
    return not failed


def _overwrite(text: str) -> None:
    """Writes over the terminal's present line; one that wraps could not be written over."""
    width = shutil.get_terminal_size().columns - 1
    print("\r" + text[:width].ljust(width), end="", flush=True)


@contextmanager
def _only_one():
    """Two set-ups at once would break each other: the second waits for the first."""
    try:
        LOCK.parent.mkdir(exist_ok=True)
        LOCK.touch()
    except OSError as problem:
        raise SetupError(f"{LOCK.parent} cannot be written to ({problem.strerror}). Clone the "
                         "course into a folder of your own.") from None
    with alone(LOCK, "Another set-up of this course is running; waiting for it."):
        yield


def spoken(seconds: float) -> str:
    seconds = round(seconds)
    return f"{seconds} s" if seconds < 90 else f"{seconds // 60} min {seconds % 60:02} s"
