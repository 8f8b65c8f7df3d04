"""The course on a stick: whole or said not to be, for each kind of machine, and set up from it."""

from __future__ import annotations

import json
import platform
import re
import zipfile
from itertools import product
from pathlib import Path

import pytest

from utils import environment, exporting, packages
from utils.documents import CourseError
from utils.exporting import PYTHONS, SYSTEMS, own_python, pinned_for

KINDS = list(product(SYSTEMS, PYTHONS))


@pytest.mark.parametrize(("system", "python"), KINDS)
def test_every_requirement_has_one_pin_for_each_kind_of_machine(system, python):
    names = [line.split("==")[0] for line in pinned_for(SYSTEMS[system], python)]
    assert len(names) == len(set(names))
    for line in packages.requirements() + packages.requirements("test"):
        assert packages.normal(re.match(r"[A-Za-z0-9._-]+", line).group()) in names


def test_each_system_gets_what_only_it_needs():
    names = {system: {line.split("==")[0] for line in pinned_for(SYSTEMS[system], "3.12")}
             for system in SYSTEMS}
    assert "pywinpty" in names["windows"] and "appnope" in names["macos"]
    assert "ptyprocess" in names["linux"] and "ptyprocess" not in names["windows"]
    assert not any(name.startswith("nvidia-") for name in names["windows"] | names["macos"])
    assert any(name.startswith("nvidia-") for name in names["linux"])  # left out where not needed


def test_pins_follow_the_python():
    numpy = {python: next(line for line in pinned_for(SYSTEMS["linux"], python)
                          if line.startswith("numpy==")) for python in PYTHONS}
    assert numpy["3.11"] != numpy["3.12"] == numpy["3.13"]


def wheel(folder: Path, name: str, version: str, needs: str = "") -> None:
    """A package that holds nothing but its name."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as out:
        out.writestr(f"{name}.py", "")
        out.writestr(f"{facts}/METADATA",
                     f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}")
        out.writestr(f"{facts}/WHEEL",
                     "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        out.writestr(f"{facts}/RECORD", "")


@pytest.fixture
def course(tmp_path, monkeypatch) -> Path:
    """A small course of two packages, which pip finds in a folder and nowhere else."""
    home = tmp_path / "home"
    for name, text in {
            "pyproject.toml": '[project]\ndependencies = ["torch>=2"]\n'
                              '[project.optional-dependencies]\ntest = ["tiny>=1"]\n',
            "constraints.txt": "torch==2.1\ntiny==1.0\n", "README.md": "Read me.",
            "utils/__init__.py": "", "utils/__pycache__/x.pyc": "", ".git/config": "",
            ".venv/pyvenv.cfg": "", "build/scoreboard.json": "", ".ci/run": ""}.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text, encoding="utf-8")
    wheel(tmp_path / "shop", "torch", "2.1")
    wheel(tmp_path / "shop", "tiny", "1.0")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "shop"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setattr(environment, "answers", lambda _: False)
    lives_in(home, monkeypatch)
    return home


def lives_in(folder: Path, monkeypatch) -> None:
    for module in (environment, packages, exporting):
        monkeypatch.setattr(module, "ROOT", folder)
    monkeypatch.setattr(environment, "VENV", folder / ".venv")
    monkeypatch.setattr(environment, "STAMP", folder / ".venv" / "course-stamp")
    monkeypatch.setattr(environment, "WHEELS", folder / "wheels")


def test_what_is_exported_sets_itself_up_without_a_network(course, tmp_path, monkeypatch, capfd):
    assert exporting.export([str(tmp_path / "stick")]) == 0
    carried = tmp_path / "stick" / "course"
    assert sorted(p.name for p in carried.iterdir()) == [
        ".ci", "README.md", "constraints.txt", "pyproject.toml", "utils", "wheels"]
    assert not list(carried.rglob("__pycache__"))
    assert f"{own_python()} -m utils lab" in (tmp_path / "stick" / "START.txt").read_text()
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    monkeypatch.setattr(environment, "answers", lambda _: pytest.fail("a network was asked"))
    lives_in(carried, monkeypatch)
    environment._make()
    assert environment.stamped()
    assert list(carried.glob(".venv/**/tiny.py"))
    assert "without a network" in capfd.readouterr().out


def test_a_stick_for_other_machines_says_how_each_of_them_begins(course, tmp_path):
    exporting.export([str(tmp_path / "stick"), "--for", "windows", "macos", "--python", "3.12"])
    text = (tmp_path / "stick" / "START.txt").read_text(encoding="utf-8")
    assert "py -3.12 -m utils lab" in text and "python3.12 -m utils lab" in text
    assert "On Linux" not in text
    fits = json.loads((tmp_path / "stick/course/wheels/fits.json").read_text(encoding="utf-8"))
    assert fits == [["Windows", "3.12"], ["Darwin", "3.12"]]


def test_a_second_export_into_the_folder_adds_its_machines_unless_the_pins_have_changed(course,
                                                                                        tmp_path):
    def exported(*words: str) -> list[list[str]]:
        exporting.export([str(tmp_path / "stick"), "--python", "3.12", "--for", *words])
        return json.loads((tmp_path / "stick/course/wheels/fits.json").read_text("utf-8"))

    exported("windows")
    assert exported("macos") == [["Windows", "3.12"], ["Darwin", "3.12"]]
    assert exported("windows") == [["Darwin", "3.12"], ["Windows", "3.12"]]
    assert "On macOS" in (tmp_path / "stick" / "START.txt").read_text("utf-8")
    with (course / "constraints.txt").open("a", encoding="utf-8") as file:
        file.write("# other pins\n")
    assert exported("macos") == [["Darwin", "3.12"]]


def test_an_export_that_was_stopped_is_not_taken_for_whole(course, tmp_path, monkeypatch):
    exporting.export([str(tmp_path / "stick")])

    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(environment, "stage", stopped)
    with pytest.raises(KeyboardInterrupt):
        exporting.export([str(tmp_path / "stick")])
    lives_in(tmp_path / "stick" / "course", monkeypatch)
    with pytest.raises(environment.SetupError, match="not complete.*Make it again"):
        environment._carried()


def test_a_package_that_cannot_be_had_is_told_with_a_remedy(course, tmp_path):
    (tmp_path / "shop" / "tiny-1.0-py3-none-any.whl").unlink()
    with pytest.raises(environment.SetupError, match="(?s)tiny.*run the command again"):
        exporting.export([str(tmp_path / "stick")])
    assert not (tmp_path / "stick/course/wheels/fits.json").exists()


def test_packages_of_another_python_are_refused_by_name(course, tmp_path, monkeypatch):
    exporting.export([str(tmp_path / "stick"), "--for", "windows", "--python", "3.12"])
    lives_in(tmp_path / "stick" / "course", monkeypatch)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(environment.SetupError, match=r"for Windows with Python 3\.12; this is"):
        environment._carried()


def test_a_stick_that_lacks_a_package_says_what_to_do_without_a_network(course, tmp_path,
                                                                         monkeypatch):
    exporting.export([str(tmp_path / "stick")])
    carried = tmp_path / "stick" / "course"
    (carried / "wheels" / "tiny-1.0-py3-none-any.whl").unlink()
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    lives_in(carried, monkeypatch)
    with pytest.raises(environment.SetupError, match="(?s)tiny.*Use another stick, or delete"):
        environment._make()
    assert not environment.stamped()


def test_a_course_without_packages_beside_it_installs_as_ever(course):
    assert environment._carried() == []


def test_larger_build_of_pytorch_brings_nvidias_packages_along(course, tmp_path, capfd):
    line = f"nvidia-thing==1.0 ; sys_platform == '{SYSTEMS['linux'].markers['sys_platform']}'\n"
    with (course / "constraints.txt").open("a", encoding="utf-8") as file:
        file.write(line)
    wheel(tmp_path / "shop", "nvidia_thing", "1.0")
    words = ["--for", "linux", "--python", "3.13"]
    exporting.export([str(tmp_path / "one"), *words])
    assert not list(tmp_path.glob("one/course/wheels/nvidia*"))
    wheel(tmp_path / "shop", "torch", "2.1", "Requires-Dist: nvidia-thing==1.0\n")
    exporting.export([str(tmp_path / "two"), *words])
    assert list(tmp_path.glob("two/course/wheels/nvidia*"))


def test_damaged_wheel_is_deleted_and_named(tmp_path):
    path = tmp_path / "torch-2.1-py3-none-any.whl"
    path.write_text("half a wheel")
    with pytest.raises(CourseError, match="came damaged and is deleted"):
        exporting._asks_for_cuda(path)
    assert not path.exists()


def test_a_folder_in_the_course_itself_is_refused(course):
    with pytest.raises(CourseError, match="lies in the course itself"):
        exporting.export([str(course / "build" / "stick")])


def test_a_folder_that_cannot_be_written_is_told(course, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="cannot be written: .*run the command again"):
        exporting.export([str(tmp_path / "file")])


@pytest.mark.parametrize("words", [[], ["x", "--for", "amiga"], ["x", "--python", "2.7"]])
def test_wrong_options_are_one_sentence(words):
    with pytest.raises(CourseError, match="See: python3 -m utils export --help"):
        exporting.export(words)
