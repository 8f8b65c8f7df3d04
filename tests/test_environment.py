"""The files that say what is installed agree, and the set-up that installs it keeps its word.

No test here installs anything: steps are recorded, or small programs take pip's place.
"""

from __future__ import annotations

import importlib.util
import itertools
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from utils import environment, packages

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = PROJECT["dependencies"] + [line for lines in EXTRAS.values() for line in lines]
PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = (("linux", "Linux", "posix", "x86_64"), ("linux", "Linux", "posix", "aarch64"),
            ("darwin", "Darwin", "posix", "arm64"), ("win32", "Windows", "nt", "AMD64"))


# ---------------------------------------------------------------- the files agree


def machine(python: str, sys_platform: str, system: str, os_name: str, processor: str) -> dict:
    """What a marker sees there; `extra` is empty as in a constraints file."""
    return {"python_version": python, "python_full_version": f"{python}.9",
            "sys_platform": sys_platform, "platform_system": system, "os_name": os_name,
            "platform_machine": processor, "implementation_name": "cpython",
            "platform_python_implementation": "CPython", "extra": ""}


@pytest.mark.parametrize("line", REQUIREMENTS)
def test_each_requirement_has_one_pin_in_its_range_everywhere(line):
    wanted = Requirement(line)
    for python, system in itertools.product(PYTHONS, MACHINES):
        there = machine(python, *system)
        if wanted.marker and not wanted.marker.evaluate(there):
            continue
        pinned = [version for version, marker
                  in packages.pins().get(packages.normal(wanted.name), [])
                  if not marker or Marker(marker).evaluate(there)]
        assert len(pinned) == 1, f"{line} on {system[1]} with Python {python}: {pinned}"
        assert wanted.specifier.contains(pinned[0]), f"{line} has the pin {pinned[0]}"


def test_every_line_of_the_constraints_is_read():
    lines = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
             if line.strip() and not line.lstrip().startswith("#")]
    assert len(lines) == sum(len(found) for found in packages.pins().values())
    for line in lines:
        assert [s.operator for s in Requirement(line).specifier] == ["=="]


def test_torch_is_the_version_that_the_course_was_measured_with():
    assert packages.pins()["torch"] == [("2.13.0", "")]


def test_head_of_the_constraints_holds_the_command_that_makes_them():
    head = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
            if line.startswith("#")]
    command = next(line for line in head if "uv pip compile" in line)
    words = shlex.split(command.lstrip("# "))
    assert words[:4] == ["uv", "pip", "compile", "pyproject.toml"]
    assert {words[i + 1] for i, word in enumerate(words) if word == "--extra"} == set(EXTRAS)
    assert words[words.index("--python-version") + 1] == PYTHONS[0]
    assert "--universal" in words and words[-2:] == ["-o", "constraints.txt"]


def test_the_supported_pythons_are_the_same_everywhere():
    allowed = SpecifierSet(PROJECT["requires-python"])
    for minor in range(6, 20):
        assert (environment.python_problem((3, minor)) is None) == (f"3.{minor}" in allowed)
    assert [f"3.{n}" for n in range(6, 20) if f"3.{n}" in allowed] == list(PYTHONS)


@pytest.fixture
def conda() -> dict:
    return yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


def pip_words(conda: dict) -> list[str]:
    """The pip part of the conda file as words of a command line."""
    parts = [entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict)]
    return [word for lines in parts for line in lines for word in shlex.split(line)]


def test_conda_file_has_the_same_pythons_and_lines_that_conda_reads(conda):
    from rattler import MatchSpec

    specs = [MatchSpec(line) for line in conda["dependencies"] if isinstance(line, str)]
    versions = {str(spec).split()[0]: str(spec.version) for spec in specs}
    assert set(versions) == {"python", "pip"}
    assert SpecifierSet(versions["python"]) == SpecifierSet(PROJECT["requires-python"])
    assert conda["name"] == PROJECT["name"] and conda["channels"] == ["conda-forge"]


def test_conda_files_pip_part_names_the_constraints_and_known_extras(conda):
    words = pip_words(conda)
    assert words[words.index("-c") + 1] == "constraints.txt"
    named = re.fullmatch(r"\.\[([\w,]+)\]", words[words.index("-e") + 1])[1].split(",")
    assert "test" in named and set(named) <= set(EXTRAS)


def test_conda_files_pip_part_resolves_to_what_is_installed(conda, tmp_path):
    if importlib.util.find_spec("pip") is None:
        pytest.skip("this environment has no pip (uv makes none)")
    if packages.missing():
        pytest.skip(f"not installed here: {', '.join(packages.missing())}")
    for name in ("pyproject.toml", "constraints.txt", "environment.yml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "utils", tmp_path / "utils", ignore=shutil.ignore_patterns("*.pyc"))
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index",
         "--no-build-isolation", "-c", "constraints.txt", *pip_words(conda)],
        cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    would = re.search(r"(?m)^Would install (.+)$", done.stdout)[1]
    assert would == f"{PROJECT['name']}-{PROJECT['version']}"


# ---------------------------------------------------------------- what is there


@pytest.mark.parametrize("line", REQUIREMENTS)
def test_allows_judges_versions_as_pip_does(line):
    specifier = Requirement(line).specifier
    bounds = [Version(s.version) for s in specifier]
    tried = {f"{b.major}.{b.minor}.{b.micro}{end}" for b in bounds for end in ("", ".post1")}
    tried |= {f"{b.major + n}.{b.minor + m}" for b in bounds for n in (0, 1) for m in (0, 1)}
    tried |= {"0.0.1", "2.13.0", "99"}
    for version in tried - {v for v in tried if "post" in v and "==" in line}:
        assert packages._allows(line, version) == specifier.contains(version), version


@pytest.mark.parametrize(("line", "version", "allowed"), [
    ("torch>=2.6,<3", "2.13.0+cpu", True),
    ("torch>=2.6,<3", "2.5.1+cu124", False),
    ("torch>=2.6,<3", "3.0.0rc1", False),
    ("peft>=0.21,<1", "0.9", False),  # as numbers, not as text
    ("bitsandbytes>=0.48,<1; sys_platform != 'darwin'", "0.50.2", True),
    ("pyyaml", "6", True),
])
def test_allows(line, version, allowed):
    assert packages._allows(line, version) is allowed


def test_missing_names_what_is_absent_and_what_is_out_of_range(monkeypatch):
    lines = {None: ["pytest>=1", "no-such-package-of-the-course>=1"], "test": ["packaging<1"]}
    monkeypatch.setattr(packages, "requirements", lambda extra=None: lines[extra])
    absent, other = packages.missing()
    assert absent == "no-such-package-of-the-course"
    assert re.fullmatch(r"packaging \(has [\d.]+, needs <1\)", other)
    assert packages.missing(extras=()) == ["no-such-package-of-the-course"]


# ---------------------------------------------------------------- the stamp


@pytest.fixture
def course(tmp_path, monkeypatch) -> Path:
    """A course in a folder of its own, called from outside its .venv, which does not exist yet."""
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for module in (environment, packages):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(environment, "STAMP", tmp_path / ".venv" / "course-stamp")
    monkeypatch.setattr(environment, "LOCK", tmp_path / "build" / "setup-lock")
    monkeypatch.setattr(packages, "missing", lambda *_: ["torch"])
    return tmp_path


def fake_venv(config: str = "version = 3.12.1\n") -> None:
    python = environment.venv_python()
    python.parent.mkdir(parents=True)
    python.touch()
    (environment.VENV / "pyvenv.cfg").write_text(config, encoding="utf-8")


def finish() -> None:
    environment.STAMP.write_text(environment.fingerprint(), encoding="utf-8")


@pytest.fixture
def steps(course, monkeypatch) -> list[str]:
    """What `ensure` did: 'make' and 'reenter' are recorded, not done."""
    done: list[str] = []

    def make():
        done.append("make")
        if not environment.venv_python().exists():
            fake_venv()
        finish()

    monkeypatch.setattr(environment, "_make", make)
    monkeypatch.setattr(environment, "_reenter", lambda: done.append("reenter"))
    return done


def ensure_from_outside() -> None:
    """`_reenter` never returns in earnest; here it does, and `ensure` then finds nothing made."""
    with pytest.raises(environment.SetupError, match="ended without torch"):
        environment.ensure()


def test_current_stamp_is_believed(steps):
    fake_venv()
    finish()
    ensure_from_outside()
    assert steps == ["reenter"]


def test_interrupted_set_up_is_redone(steps):
    fake_venv()
    ensure_from_outside()
    ensure_from_outside()
    assert steps == ["make", "reenter", "reenter"]


@pytest.mark.parametrize(("name", "old", "new"), [
    ("constraints.txt", "torch==2.13.0", "torch==2.13.1"),
    ("pyproject.toml", '"torch>=2.6,<3"', '"torch>=2.7,<3"'),
])
def test_changed_pins_are_installed(steps, course, name, old, new):
    fake_venv()
    finish()
    text = (course / name).read_text(encoding="utf-8")
    assert old in text
    (course / name).write_text(text.replace(old, new), encoding="utf-8")
    assert not environment.stamped()
    ensure_from_outside()
    assert steps == ["make", "reenter"]


def test_stamp_holds_when_only_the_repositorys_address_changes(course):
    fake_venv()
    finish()
    path = course / "pyproject.toml"
    path.write_text(re.sub(r'repository = ".*"', 'repository = "me/mine"',
                           path.read_text(encoding="utf-8")), encoding="utf-8")
    assert environment.stamped()


def test_stamp_does_not_hold_where_the_python_is_gone(course):
    fake_venv()
    finish()
    environment.venv_python().unlink()
    assert not environment.stamped()


def test_complete_interpreter_is_used_as_it_is(steps, monkeypatch):
    monkeypatch.setattr(packages, "missing", lambda *_: [])
    environment.ensure()
    assert steps == []


def test_package_lost_from_the_environment_is_brought_back(steps, monkeypatch):
    lacking = [["torch"], ["torch"], []]
    monkeypatch.setattr(environment, "inside_venv", lambda: True)
    monkeypatch.setattr(packages, "missing", lambda *_: lacking.pop(0))
    fake_venv()
    finish()
    environment.ensure()
    assert steps == ["make"]


def test_environment_of_uv_is_neither_remade_nor_deleted(course, monkeypatch):
    fake_venv("home = /usr\nuv = 0.13.8\n")
    assert environment.stamped()
    monkeypatch.setattr(environment, "inside_venv", lambda: True)
    with pytest.raises(environment.SetupError, match="lacks torch. Run: uv sync --extra test"):
        environment.ensure()
    assert environment.venv_python().exists()


# ---------------------------------------------------------------- making it


@pytest.fixture
def commands(course, monkeypatch) -> list[list[str]]:
    """The commands that the steps would run, on a Linux machine without a GPU."""
    ran: list[list[str]] = []

    def stage(title, command, **_):
        ran.append(command)
        if "venv" in command:
            fake_venv()
        return True

    monkeypatch.setattr(environment, "stage", stage)
    monkeypatch.setattr(environment, "answers", lambda url: True)
    monkeypatch.setattr(environment, "has_nvidia", lambda: False)
    monkeypatch.setattr(environment.platform, "system", lambda: "Linux")
    return ran


def test_make_installs_the_requirements_with_the_pins_and_stamps_last(commands, course):
    environment._make()
    venv, torch, packages, _ = commands
    assert venv[1:] == ["-m", "venv", str(course / ".venv")]
    for command in (torch, packages):
        assert command[command.index("-c") + 1] == str(course / "constraints.txt")
    assert set(PROJECT["dependencies"] + EXTRAS["test"]) <= set(packages)
    assert environment.stamped()


def test_failed_step_leaves_no_stamp(commands, monkeypatch):
    fake_venv()
    finish()

    def fail(*_, **__):
        raise environment.SetupError("no network")

    monkeypatch.setattr(environment, "stage", fail)
    monkeypatch.setattr(environment, "_works", lambda python: True)
    with pytest.raises(environment.SetupError, match="no network"):
        environment._make()
    assert not environment.STAMP.exists()


def test_cpu_build_of_torch_comes_alone_from_pytorchs_index(commands):
    environment._install_torch(["pip"])
    assert commands == [["pip", "--no-deps", "torch==2.13.0", "--index-url",
                         environment.TORCH_CPU_INDEX]]


def test_torch_index_out_of_reach_falls_back(commands, monkeypatch, capsys):
    monkeypatch.setattr(environment, "answers", lambda url: False)
    environment._install_torch(["pip"])
    assert commands == [["pip", "torch==2.13.0"]]
    assert "the default one is asked" in capsys.readouterr().out


def test_torch_index_that_fails_falls_back(commands, monkeypatch):
    monkeypatch.setattr(environment, "stage", lambda title, command, must=True, remedy="": (
        commands.append(command) or must))
    environment._install_torch(["pip"])
    assert [("--index-url" in command) for command in commands] == [True, False]


@pytest.mark.parametrize(("system", "nvidia"), [("Linux", True), ("Darwin", False),
                                                ("Windows", False)])
def test_default_build_of_torch_elsewhere(commands, monkeypatch, system, nvidia):
    monkeypatch.setattr(environment.platform, "system", lambda: system)
    monkeypatch.setattr(environment, "has_nvidia", lambda: nvidia)
    environment._install_torch(["pip"])
    assert commands == [["pip", "torch==2.13.0"]]


def test_address_out_of_reach_does_not_answer():
    assert not environment.answers("http://127.0.0.1:9")


def test_full_disk_is_told_before_anything_is_made(course, monkeypatch):
    monkeypatch.setattr(environment.shutil, "disk_usage",
                        lambda path: SimpleNamespace(free=1e9))
    with pytest.raises(environment.SetupError) as problem:
        environment._make()
    assert str(problem.value) == (
        f"The environment needs about 4 GB and {course} has 1.0 GB free. Make room there, or clone "
        "the course onto a larger disk.")
    assert not environment.VENV.exists()


def test_nearly_finished_environment_is_completed_on_a_nearly_full_disk(commands, monkeypatch):
    monkeypatch.setattr(environment.shutil, "disk_usage",
                        lambda path: SimpleNamespace(free=1e9))
    monkeypatch.setattr(environment, "_works", lambda python: True)
    fake_venv()
    environment._make()
    assert environment.stamped()


def test_path_line_names_the_course(tmp_path, monkeypatch):
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"purelib": str(tmp_path)})
    exec(environment._PTH, {})
    encoding = "utf-8" if sys.version_info >= (3, 13) else "locale"
    assert (tmp_path / "course.pth").read_text(encoding=encoding) == f"{environment.ROOT}\n"


# ---------------------------------------------------------------- one step


def program(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_failing_step_prints_its_last_lines_its_name_and_a_remedy():
    pip = "import sys\nfor n in range(40): print('line', n)\nsys.exit('ERROR: no such version')"
    with pytest.raises(environment.SetupError) as problem:
        environment.stage("3/4  installing the packages", program(pip))
    text = str(problem.value)
    assert "line 39" in text and "ERROR: no such version" in text and "line 10" not in text
    assert text.endswith("The step '3/4  installing the packages' failed; the lines above are its "
                         "last ones. Check the network, then run the command again: it goes on "
                         "from here.")


def test_failing_step_has_its_own_remedy():
    with pytest.raises(environment.SetupError, match="Feed the snake.$"):
        environment.stage("1/4  x", program("raise SystemExit(1)"), remedy="Feed the snake.")


@pytest.mark.parametrize("line", ["[Errno 28] No space left on device",
                                  "[WinError 112] There is not enough space on the disk",
                                  "[Errno 122] Disk quota exceeded"])
def test_disk_that_fills_up_on_the_way_is_told(line):
    with pytest.raises(environment.SetupError, match=r"A disk is full.* it goes on from here\.$"):
        environment.stage("3/4  x", program(f"print({line!r}); raise SystemExit(1)"))


def test_program_that_cannot_be_started_is_a_failed_step(tmp_path):
    with pytest.raises(environment.SetupError, match="The step '1/4  x' failed"):
        environment.stage("1/4  x", [str(tmp_path / "no-python")])


def test_step_that_may_fail_says_so_and_one_that_works(capsys):
    assert environment.stage("2/4  x", program("raise SystemExit(1)"), must=False) is False
    assert environment.stage("2/4  x", program("print('ü')"), must=False) is True
    assert re.findall("failed|done", capsys.readouterr().out) == ["failed", "done"]


def test_progress_never_wraps(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "60")
    environment._overwrite("x" * 200)
    assert len(capsys.readouterr().out.strip("\r")) == 59


# ---------------------------------------------------------------- one set-up at a time

HOLD = """
import sys
from pathlib import Path
from utils import environment
environment.LOCK = Path(sys.argv[1])
with environment._only_one():
    print("inside", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def hold(tmp_path):
    """Starts set-ups that hold the lock until they are told to end."""
    started = []

    def start() -> subprocess.Popen:
        process = subprocess.Popen([*program(HOLD), str(tmp_path / "lock")], cwd=ROOT, text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_second_set_up_waits_for_the_first(hold):
    first = hold()
    assert first.stdout.readline() == "inside\n"
    second = hold()
    assert second.stdout.readline() == (
        "Another set-up of this course is running; waiting for it.\n")
    first.communicate("end\n")
    assert second.stdout.readline() == "inside\n"


def test_lock_of_a_killed_set_up_is_taken_over(hold, tmp_path):
    first = hold()
    assert first.stdout.readline() == "inside\n"
    first.kill()
    first.wait()
    assert (tmp_path / "lock").exists()
    assert hold().stdout.readline() == "inside\n"


def test_folder_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    (tmp_path / "build").write_text("a file, where a folder is needed")
    monkeypatch.setattr(environment, "LOCK", tmp_path / "build" / "setup-lock")
    with (pytest.raises(environment.SetupError, match="cannot be written to"),
          environment._only_one()):
        pass


def test_what_makes_it_quicker_is_set_unless_the_reader_has_said_otherwise(monkeypatch):
    for name in environment.QUICKER:
        monkeypatch.delenv(name, raising=False)
    assert environment.QUICKER.items() <= environment.surroundings().items()
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert environment.surroundings()["MALLOC_TRIM_THRESHOLD_"] == "131072"
    reached = subprocess.run(
        [sys.executable, "-c", "import os; print(os.environ['MALLOC_TRIM_THRESHOLD_'])"],
        env=environment.surroundings(), capture_output=True, text=True, check=True)
    assert reached.stdout.strip() == "131072"
