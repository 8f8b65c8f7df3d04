"""The course and every package it needs -> one folder, for rooms without a network.

A room of laptops behind one bad connection cannot download half a gigabyte each. What is carried
in on a stick is copied instead: set-up finds the packages beside the course and asks no network.
The pins hold for every system, so a teacher's laptop brings the packages of the others, too.
"""

from __future__ import annotations

import json
import platform
import shutil
import sys
import time
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from utils import environment, packages
from utils.documents import CourseError
from utils.environment import FITS, ROOT, TORCH_CPU_INDEX, spoken
from utils.options import Parser

LEFT = {".git", ".venv", "build", "wheels"}  # of the course's folder: what belongs to one machine
NEVER = ("__pycache__", ".ipynb_checkpoints", ".pytest_cache", "*.pyc")
CUDA = ("nvidia-", "cuda-", "triton")  # what PyTorch's larger build for Linux needs beside it
PYTHONS = tuple(f"3.{n}" for n in range(environment.OLDEST[1], environment.NEWEST[1] + 1))


@dataclass(frozen=True)
class System:
    """What pip and the pins have to know of a kind of machine."""

    name: str  # as `platform.system()` says it
    markers: dict[str, str]
    wheels: tuple[str, ...]  # the platforms whose wheels fit it, the newest first


SYSTEMS = {
    "windows": System("Windows", {"sys_platform": "win32", "os_name": "nt",
                                  "platform_machine": "AMD64"}, ("win_amd64",)),
    "macos": System("Darwin", {"sys_platform": "darwin", "os_name": "posix",
                               "platform_machine": "arm64"}, ("macosx_14_0_arm64",)),
    "linux": System("Linux", {"sys_platform": "linux", "os_name": "posix",
                              "platform_machine": "x86_64"},
                    (*(f"manylinux_2_{n}_x86_64" for n in (28, 27, 26, 24)),
                     "manylinux2014_x86_64", "manylinux_2_12_x86_64", "manylinux2010_x86_64",
                     "manylinux_2_5_x86_64", "manylinux1_x86_64")),
}

START = """\
Retrieve, fine-tune, or both?  A course that needs no network.

1. Copy the folder "course" from here onto your own disk.
2. Open a terminal in that copy.
3. {commands}

The first start takes a few minutes: it sets up what the course needs, inside the copy. Then
JupyterLab opens on the first notebook. Python {pythons} must be there already; if yours is another
one, ask before you start.
"""


def export(words: list[str]) -> int:
    """Writes the course with its packages into a folder, such as one on a stick."""
    parser = Parser("export")
    parser.add_argument("folder")
    parser.add_argument("--for", dest="systems", nargs="+", choices=SYSTEMS, default=[here()])
    parser.add_argument("--python", nargs="+", choices=PYTHONS, default=[own_python()])
    arguments = parser.parse_args(words)
    folder = Path(arguments.folder).expanduser().resolve()
    if folder.is_relative_to(ROOT):
        raise CourseError(f"{folder} lies in the course itself. Name a folder outside of it.")
    course = folder / "course"
    began, wanted = time.monotonic(), list(product(arguments.systems, arguments.python))
    try:
        earlier = _already_there(course)
        (course / "wheels" / FITS).unlink(missing_ok=True)  # what is stopped now is not complete
        _copy(course)
        for system, python in wanted:
            _bring(SYSTEMS[system], python, course / "wheels")
        new = [[SYSTEMS[system].name, python] for system, python in wanted]
        fits = [*(kind for kind in earlier if kind not in new), *new]
        (folder / "START.txt").write_text(start_text(fits), encoding="utf-8")
        (course / "wheels" / FITS).write_text(json.dumps(fits), encoding="utf-8")
    except (OSError, shutil.Error) as problem:
        reason = getattr(problem, "strerror", None) or problem
        raise CourseError(f"{folder} cannot be written: {reason}. Check who may write there and "
                          "how much room is left, then run the command again.") from None
    size = sum(p.stat().st_size for p in course.rglob("*") if p.is_file()) / 1e6
    print(f"\n{folder} holds the course for {len(fits)} kind{'s' * (len(fits) > 1)} of machine: "
          f"{size:,.0f} MB, in {spoken(time.monotonic() - began)}.\nTry it before the day, with "
          "the network off: START.txt says how.")
    return 0


def here() -> str:
    """This machine's system, as `--for` names it."""
    return next((name for name, s in SYSTEMS.items() if s.name == platform.system()), "linux")


def own_python() -> str:
    """This Python's version, as `--python` names it."""
    return ".".join(map(str, sys.version_info[:2]))


def pinned_for(system: System, python: str) -> list[str]:
    """Every package of the course, at its pin for such a machine.

    The pins are whole: with all of them nothing is left for pip to resolve.
    """
    from packaging.markers import Marker

    about = {**system.markers, "platform_system": system.name, "python_version": python,
             "python_full_version": f"{python}.9", "implementation_name": "cpython",
             "platform_python_implementation": "CPython"}
    return [f"{name}=={version}" for name, pins in packages.pins().items()
            if name != "bitsandbytes"  # an option on GPUs
            for version, marker in pins if not marker or Marker(marker).evaluate(about)]


def start_text(fits: Iterable[list[str]]) -> str:
    """What a learner reads first: how to start it, on each of the systems."""
    pythons = sorted({python for _, python in fits})
    last = pythons[-1]
    says = {"Windows": f"On Windows type:   py -{last} -m utils lab",
            "Darwin": f"On macOS type:     python{last} -m utils lab",
            "Linux": f"On Linux type:     python{last} -m utils lab"}
    lines = [says[name] for name in says if name in {system for system, _ in fits}]
    return START.format(commands="\n   ".join(lines), pythons=" or ".join(pythons))


def _already_there(course: Path) -> list[list[str]]:
    """The kinds of machine that an earlier export into this folder was for, with the same pins."""
    try:
        same = (course / "constraints.txt").read_bytes() == (ROOT / "constraints.txt").read_bytes()
        fits = json.loads((course / "wheels" / FITS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return fits if same else []


def _copy(course: Path) -> None:
    """The course's own files; what the teacher has run or built stays at home."""
    print("The course's files", flush=True)
    course.mkdir(parents=True, exist_ok=True)
    for path in sorted(ROOT.iterdir()):
        if path.name in LEFT or path.match("*.egg-info") or path.name in NEVER:
            continue
        if path.is_dir():
            shutil.copytree(path, course / path.name, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns(*NEVER))
        else:
            shutil.copy2(path, course / path.name)


def _bring(system: System, python: str, wheels: Path) -> None:
    """Downloads the packages for one kind of machine; those that are there already are kept."""
    pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps",
           "--dest", str(wheels)]
    if [system.name, python] != [platform.system(), own_python()]:
        pip += ["--only-binary=:all:", "--implementation", "cp", "--python-version", python]
        pip += [word for name in system.wheels for word in ("--platform", name)]
    wanted = pinned_for(system, python)
    torch = next(line for line in wanted if line.startswith("torch=="))
    wanted.remove(torch)
    named = f"{'macOS' if system.name == 'Darwin' else system.name}, Python {python}"
    remedy = ("Check the network and the room on the disk, then run the command again: what is "
              "there already is not brought again.")
    if not (system.name == "Linux" and environment.answers(TORCH_CPU_INDEX) and environment.stage(
            f"PyTorch (CPU build) for {named}", [*pip, torch, "--index-url", TORCH_CPU_INDEX],
            must=False)):
        environment.stage(f"PyTorch for {named}", [*pip, torch], remedy=remedy)
    if not any(_asks_for_cuda(wheel) for wheel in wheels.glob("torch-*.whl")):
        wanted = [line for line in wanted if not line.startswith(CUDA)]
    environment.stage(f"{len(wanted)} more packages for {named}", [*pip, *wanted], remedy=remedy)


def _asks_for_cuda(wheel: Path) -> bool:
    """Whether a build of PyTorch needs NVIDIA's packages beside it, GPU or not."""
    try:
        with zipfile.ZipFile(wheel) as inside:
            facts = next(n for n in inside.namelist() if n.endswith(".dist-info/METADATA"))
            return "Requires-Dist: nvidia-" in inside.read(facts).decode("utf-8", "replace")
    except (zipfile.BadZipFile, StopIteration):
        wheel.unlink()
        raise CourseError(f"{wheel.name} came damaged and is deleted. Run the command again."
                          ) from None
