"""What this machine has, what is wrong with it, and what to do about each.

Only the standard library at its head, so that it can speak where nothing else is installed yet.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys

from utils import environment, packages
from utils.environment import ROOT


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
                               cwd=ROOT, env=environment.surroundings())
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
    ready = environment.inside_venv() or not packages.missing()
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

    pinned = packages.pins()
    absent = packages.missing()
    other = []
    for name in sorted({re.match(r"[A-Za-z0-9._-]+", r).group() for r in
                        packages.requirements() + packages.requirements("test")}):
        try:
            version = metadata.version(name).split("+")[0]
        except metadata.PackageNotFoundError:
            continue
        if version not in [v for v, _ in pinned.get(packages.normal(name), [])]:
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
