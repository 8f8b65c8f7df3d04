"""Makes and checks the course's environment. Standard library only: it runs before the rest exists.

The pins in constraints.txt decide. A stamp written last, after everything is installed, tells
whether a set-up is complete and current; a set-up that was interrupted has none and is redone.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
STAMP = VENV / "course-stamp"
LOCK = ROOT / ".venv-lock"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
FREE_GB = 3.0
OLDEST, NEWEST = (3, 11), (3, 13)


class SetupError(Exception):
    """The environment cannot be made; the message says why and what to do."""


def python_problem(version: tuple[int, ...] = tuple(sys.version_info[:2])) -> str | None:
    """Why this Python cannot run the course, or None."""
    if OLDEST <= tuple(version[:2]) <= NEWEST:
        return None
    found = ".".join(str(n) for n in version[:2])
    return ("This is Python %s; the course needs 3.11, 3.12 or 3.13. Install one of them and "
            "call it by name, for example: python3.12 -m utils run" % found)


def venv_python() -> Path:
    return VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def inside_venv() -> bool:
    return Path(sys.prefix).resolve() == VENV.resolve()


def fingerprint() -> str:
    """Changes when the pins, the requirements or the Python change."""
    parts = [(ROOT / name).read_bytes() for name in ("constraints.txt", "pyproject.toml")]
    parts.append(platform.python_version().encode())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def pins() -> dict[str, list[tuple[str, str]]]:
    """package -> [(version, marker)] from constraints.txt."""
    found: dict[str, list[tuple[str, str]]] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)\s*(?:;\s*(.+))?$", line)
        if match:
            found.setdefault(_normal(match[1]), []).append((match[2], (match[3] or "").strip()))
    return found


def requirements(extra: str | None = None) -> list[str]:
    """The package names pyproject.toml asks for, of one extra if named."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return list(lines)


def missing(extras: tuple[str, ...] = ("test",)) -> list[str]:
    """The required packages that this interpreter lacks or has outside the allowed range."""
    from importlib import metadata

    absent = []
    lines = requirements() + [line for extra in extras for line in requirements(extra)]
    for line in lines:
        name = re.match(r"[A-Za-z0-9._-]+", line).group()
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            absent.append(name)
            continue
        if not _allows(line, version):
            absent.append(f"{name} (has {version}, needs {line[len(name):].split(';')[0].strip()})")
    return absent


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _allows(line: str, version: str) -> bool:
    """Whether a version fits the `>=a,<b` or `==a` part of a requirement line."""
    def numbers(text: str) -> tuple[int, ...]:
        return tuple(int(n) for n in re.findall(r"\d+", text.split("+")[0])[:3])

    for sign, bound in re.findall(r"(>=|<|==)\s*([\d.]+)", line.split(";")[0]):
        have, want = numbers(version), numbers(bound)
        size = max(len(have), len(want))
        have, want = have + (0,) * (size - len(have)), want + (0,) * (size - len(want))
        if not {">=": have >= want, "<": have < want, "==": have == want}[sign]:
            return False
    return True


# ---------------------------------------------------------------- making it


def ensure() -> None:
    """Returns inside a complete environment; makes it and starts again in it if need be."""
    problem = python_problem()
    if problem:
        raise SetupError(problem)
    if inside_venv():
        if _stamped():
            return
    elif not missing():
        return
    if not inside_venv() and VENV.exists() and _stamped(venv_python()):
        _reenter()
    with _only_one():
        if not _stamped(venv_python()):
            _make()
    _reenter()


def _stamped(python: Path | None = None) -> bool:
    if python is not None and not python.exists():
        return False
    return STAMP.exists() and STAMP.read_text(encoding="utf-8") == fingerprint()


def _reenter() -> None:
    command = [str(venv_python()), "-m", "utils", *sys.argv[1:]]
    sys.stdout.flush()
    if os.name == "nt":
        raise SystemExit(subprocess.call(command, cwd=os.getcwd(), env=_with_root()))
    os.execve(command[0], command, _with_root())


def _with_root() -> dict[str, str]:
    path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH", "")) if p)
    return {**os.environ, "PYTHONPATH": path}


def _make() -> None:
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < FREE_GB:
        raise SetupError(f"The environment needs about {FREE_GB:.0f} GB and {ROOT} has {free:.1f} GB "
                         "free. Make room there, or clone the course onto a larger disk.")
    print(f"Setting up the course in {VENV} (once; later starts skip this).", flush=True)
    began = time.monotonic()
    base = sys.executable if not inside_venv() else getattr(sys, "_base_executable", sys.executable)
    if not _works(venv_python()):
        if inside_venv():
            raise SetupError(f"{VENV} is damaged. Delete it and run the command again.")
        shutil.rmtree(VENV, ignore_errors=True)
        _stage("1/4  creating the environment", [base, "-m", "venv", str(VENV)])
    else:
        print("1/4  the environment exists, it is completed now", flush=True)
    pip = [str(venv_python()), "-m", "pip", "install", "--disable-pip-version-check",
           "-c", str(ROOT / "constraints.txt")]
    _install_torch(pip)
    _stage("3/4  installing the packages (a few minutes)",
           [*pip, *requirements(), *requirements("test")])
    _stage("4/4  making the course importable", [str(venv_python()), "-c", _PTH])
    STAMP.write_text(fingerprint(), encoding="utf-8")
    print(f"The environment is ready ({_spoken(time.monotonic() - began)}).\n", flush=True)


# A .pth line instead of an editable install: it needs no build step and works offline.
_PTH = ("import pathlib, sysconfig; pathlib.Path(sysconfig.get_paths()['purelib'], 'course.pth')"
        f".write_text({str(ROOT)!r} + '\\n', encoding='utf-8')")


def _install_torch(pip: list[str]) -> None:
    """PyTorch first: on Linux without an NVIDIA GPU its CPU build, a tenth of the download."""
    torch = "torch==" + pins()["torch"][0][0]
    step = "2/4  installing PyTorch"
    if platform.system() == "Linux" and not has_nvidia() and _answers(TORCH_CPU_INDEX):
        if _stage(step + " (CPU build)", [*pip, torch, "--index-url", TORCH_CPU_INDEX], must=False):
            return
        print("     PyTorch's own index did not deliver; trying the default one", flush=True)
    _stage(step, [*pip, torch])


def has_nvidia() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def _answers(url: str) -> bool:
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


def _stage(title: str, command: list[str], must: bool = True) -> bool:
    """Runs one step with its time beside it; the tail of its output if it fails."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               encoding="utf-8", errors="replace")
    tail: list[str] = []
    alive = sys.stdout.isatty()
    print(title, end=" " if alive else "\n", flush=True)
    for line in process.stdout:
        tail = [*tail[-30:], line.rstrip()]
        if alive:
            said = line.strip()[:60]
            print(f"\r{title}  {_spoken(time.monotonic() - began)}  {said:<60}", end="", flush=True)
    failed = process.wait() != 0
    word = "failed" if failed else "done"
    print(("\r" if alive else "     ") + (f"{title}: " if alive else "") +
          f"{word} in {_spoken(time.monotonic() - began)}" + " " * 60 * alive, flush=True)
    if failed and must:
        text = "\n".join(tail[-12:])
        if "No space left" in text:
            raise SetupError(f"The disk that holds {ROOT} is full. Make room (about {FREE_GB:.0f} "
                             "GB) and run the command again; it goes on from here.")
        raise SetupError(f"{text}\n\nThe step '{title.strip()}' failed; the lines above are its "
                         "last ones. Check the network, then run the command again: it goes on "
                         "from here.")
    return not failed


@contextmanager
def _only_one():
    """Two set-ups at once would break each other: the second waits for the first."""
    told = False
    while True:
        try:
            os.close(os.open(LOCK, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            LOCK.write_text(str(os.getpid()), encoding="utf-8")
            break
        except FileExistsError:
            if _abandoned():
                LOCK.unlink(missing_ok=True)
                continue
            if not told:
                print("Another set-up of this course is running; waiting for it.", flush=True)
                told = True
            time.sleep(2)
    try:
        yield
    finally:
        LOCK.unlink(missing_ok=True)


def _abandoned() -> bool:
    try:
        pid = int(LOCK.read_text(encoding="utf-8") or 0)
        age = time.time() - LOCK.stat().st_mtime
    except (OSError, ValueError):
        return False
    if not pid:
        return age > 30
    if os.name == "nt":
        return age > 3600
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def _spoken(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"
