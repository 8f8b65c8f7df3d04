"""`python3 -m utils`: what it prints, its exit codes, and the profiles that decide what runs."""

from __future__ import annotations

import ast
import http.server
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from utils import course, environment, packages, profiles
from utils import doctor as doctoring
from utils.__main__ import COMMANDS, MODULES, main
from utils.documents import CourseError

ROOT = Path(__file__).resolve().parents[1]
HEADS = ("utils/__main__.py", "utils/environment.py", "utils/packages.py", "utils/locks.py",
         "utils/course.py")  # read by any Python
OLD_PYTHONS = sorted(str(p) for minor in (8, 9, 10)
                     for p in Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python"))


def utils(*words: str, python: str = sys.executable) -> subprocess.CompletedProcess:
    return subprocess.run([python, "-m", "utils", *words], cwd=ROOT, capture_output=True,
                          encoding="utf-8", env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})


@pytest.fixture
def ready(monkeypatch):
    """The environment is taken to be complete, and what `act` sets is put back afterwards."""
    monkeypatch.setattr(environment, "ensure", lambda: None)
    for name in ("PYTHONPATH", "TOKENIZERS_PARALLELISM"):
        monkeypatch.setenv(name, os.environ.get(name, ""))


# ---------------------------------------------------------------- any Python


@pytest.mark.parametrize("python", OLD_PYTHONS)
def test_old_python_is_told_in_one_sentence(python):
    for words in (["run"], ["links"], ["test", "-q"]):
        done = utils(*words, python=python)
        assert done.returncode == 2 and done.stdout == ""
        assert re.fullmatch(r"This is Python 3\.\d+; the course needs 3\.11, 3\.12 or 3\.13\. "
                            r"Install one of them and call it by name, for example: "
                            r"python3\.12 -m utils run\n", done.stderr)


@pytest.mark.parametrize("python", OLD_PYTHONS)
def test_old_python_is_what_doctor_finds(python):
    done = utils("doctor", python=python)
    assert done.returncode == 1 and done.stderr == ""
    assert "the course needs 3.11, 3.12 or 3.13" in done.stdout and "All is well" not in done.stdout


@pytest.mark.parametrize("name", HEADS)
def test_heads_import_the_standard_library_in_the_words_of_python_38(name):
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"), feature_version=(3, 8))
    for statement in tree.body:
        if isinstance(statement, ast.Import):
            modules = [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom):
            modules = [statement.module]
        else:
            continue
        for module in modules:
            top = module.split(".")[0]
            assert top in sys.stdlib_module_names or module == "utils" or (
                module.replace(".", "/") + ".py" in HEADS)


# ---------------------------------------------------------------- words


def test_no_command_prints_the_commands_and_fails(capsys):
    assert main([]) == 2
    assert capsys.readouterr().out.startswith("usage: python3 -m utils COMMAND")


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_help_prints_the_commands(word, capsys):
    assert main([word]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("usage: python3 -m utils COMMAND")
    assert all(re.search(rf"(?m)^  {command} ", printed) for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_a_function(command, capsys):
    assert main([command, "--help"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"python3 -m utils {command}") and len(printed.splitlines()) >= 4
    module = importlib.import_module(f"utils.{MODULES.get(command, 'course')}")
    assert callable(getattr(module, command))


@pytest.mark.parametrize(("word", "near"), [("rn", "run"), ("tests", "test"), ("jupyterlab", "lab"),
                                            ("docter", "doctor"), ("link", "links")])
def test_unknown_command_is_answered_with_the_nearest(word, near, capsys):
    assert main([word]) == 2
    assert capsys.readouterr().err == (f"There is no command '{word}'. Did you mean '{near}'? The "
                                       "commands: run, test, lab, ask, exam, calibrate, app, "
                                       "bench, fetch, export, doctor, publish, links.\n")


def test_the_module_can_be_called():
    done = utils("--help")
    assert done.returncode == 0 and "doctor" in done.stdout


# ---------------------------------------------------------------- setting up


def test_no_disk_space_is_one_sentence_and_exit_code_2(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(environment, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(environment, "STAMP", tmp_path / ".venv" / "course-stamp")
    monkeypatch.setattr(environment, "LOCK", tmp_path / "build" / "setup-lock")
    monkeypatch.setattr(packages, "missing", lambda *_: ["torch"])
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda path: SimpleNamespace(free=2.5e8))
    assert main(["run"]) == 2
    assert capsys.readouterr().err == (
        f"The environment needs about 4 GB and {ROOT} has 0.2 GB free. Make room there, or clone "
        "the course onto a larger disk.\n")
    assert not (tmp_path / ".venv").exists()


def test_mistake_that_the_reader_can_mend_is_a_sentence(ready, monkeypatch, capsys):
    def fail(words):
        raise CourseError("The exam is empty. Write a question.")

    monkeypatch.setattr(course, "run", fail)
    assert main(["run"]) == 2
    assert capsys.readouterr().err == "The exam is empty. Write a question.\n"


def test_mistake_of_the_program_is_not_hidden(ready, monkeypatch):
    monkeypatch.setattr(course, "run", lambda words: {}["key"])
    with pytest.raises(KeyError):
        main(["run"])


def test_ctrl_c_is_answered(ready, monkeypatch, capsys):
    def stop(words):
        raise KeyboardInterrupt

    monkeypatch.setattr(course, "run", stop)
    assert main(["run"]) == 130
    assert "run the command again to go on" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="the signal is sent in the way of Unix")
def test_program_that_answers_ctrl_c_itself_is_left_to_end():
    child = ("import signal, sys, time\n"
             "signal.signal(signal.SIGINT, lambda *_: (time.sleep(.6), sys.exit(7)))\n"
             "print('up', flush=True)\ntime.sleep(20)\n")
    parent = ("import sys\nfrom utils import environment\n"
              f"sys.exit(environment.call([sys.executable, '-c', {child!r}]))")
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE,
                               text=True, start_new_session=True)
    try:
        assert process.stdout.readline() == "up\n"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to both
        assert process.wait(10) == 7
    finally:
        process.kill()
        process.communicate()


# ---------------------------------------------------------------- run


@pytest.fixture
def folder(tmp_path, monkeypatch, ready) -> Path:
    """A course of small notebooks."""
    monkeypatch.setattr(course, "ROOT", tmp_path)
    monkeypatch.setattr(course, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(course, "BUILD", tmp_path / "build")
    (tmp_path / "notebooks" / "extras").mkdir(parents=True)
    write(tmp_path, "00_good", "21 * 2")
    return tmp_path


def write(folder: Path, name: str, *sources: str, **changes) -> None:
    """A notebook: a heading and the code cells; `tags` and `outputs` go to the first of them."""
    cells = [nbformat.v4.new_markdown_cell("# Title"), *map(nbformat.v4.new_code_cell, sources)]
    cells[1].metadata["tags"] = changes.get("tags", [])
    cells[1].outputs = changes.get("outputs", [])
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "notebooks" / f"{name}.ipynb")


def test_good_notebook_is_executed_and_kept(folder, capsys):
    assert main(["run"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "" and "[1/1] 00_good …" in printed.out
    assert "1 notebook in " in printed.out and "Nothing is measured yet." in printed.out
    kept = nbformat.read(folder / "build" / "notebooks" / "00_good.ipynb", as_version=4)
    assert kept.cells[1].outputs[0].data["text/plain"] == "42"
    source = nbformat.read(folder / "notebooks" / "00_good.ipynb", as_version=4)
    assert source.cells[1].outputs == []  # the course's own file stays as it is


def test_failing_notebook_names_the_cell_and_stops_the_run(folder, capsys):
    write(folder, "01_bad", "len(1)", "price = 3\nprice / 0", "print('never')",
          tags=["raises-exception"])  # the first error is allowed, the second is the one
    write(folder, "02_after", "1")
    assert main(["run", "1", "2"]) == 1
    printed = capsys.readouterr()
    assert printed.err.replace("\\", "/").split("\n\n", 1)[1] == (
        "notebooks/01_bad.ipynb, cell 3 of 4:\n\nprice = 3\nprice / 0\n\n"
        "ZeroDivisionError: division by zero\n\n"
        "The notebook as far as it ran: build/notebooks/01_bad.ipynb\n")
    assert "02_after" not in printed.out
    assert (folder / "build" / "notebooks" / "01_bad.ipynb").exists()


def test_notebook_that_hangs_or_dies_names_its_cell(folder, monkeypatch, capsys):
    monkeypatch.setattr(course, "CELL_SECONDS", 2)
    old = nbformat.v4.new_output("error", ename="OldError", evalue="of last week", traceback=[])
    write(folder, "01_hangs", "import time; time.sleep(60)", "1", outputs=[old])
    write(folder, "02_dies", "import os; os._exit(1)", "1")
    assert main(["run", "01"]) == main(["run", "02"]) == 1
    printed = capsys.readouterr().err
    assert "01_hangs.ipynb, cell 2 of 3:" in printed and "ran longer than 2 s" in printed
    assert "02_dies.ipynb, cell 2 of 3:" in printed and "want of memory" in printed
    assert "OldError" not in printed and "Traceback" not in printed


def test_damaged_notebook_is_told(folder, capsys):
    (folder / "notebooks" / "01_bad.ipynb").write_text("<<<<<<< ours", encoding="utf-8")
    assert main(["run", "01"]) == 1
    assert "01_bad.ipynb is damaged: it is no notebook. Restore" in capsys.readouterr().err


def test_unknown_number_lists_what_there_is(folder, capsys):
    assert main(["run", "00", "77"]) == 2
    assert capsys.readouterr().err == "No notebook begins with '77'. There are: 00_good.\n"


@pytest.mark.parametrize("word", ["1", "01", "01_b", "01_b.ipynb", "notebooks/01_b.ipynb"])
def test_notebook_is_found_by_any_of_its_names(folder, monkeypatch, word):
    ran: list[str] = []
    monkeypatch.setattr(course, "_execute", lambda path: ran.append(path.stem))
    write(folder, "01_b", "1")
    write(folder, "11_c", "1")
    assert main(["run", word]) == 0
    assert ran == ["01_b"]


def test_extras_run_only_when_they_are_named(folder, monkeypatch):
    ran: list[str] = []
    monkeypatch.setattr(course, "_execute", lambda path: ran.append(path.stem))
    write(folder, "extras/your_own", "1")
    assert main(["run"]) == main(["run", "your_own"]) == 0
    assert ran == ["00_good", "your_own"]


@pytest.mark.skipif(os.name == "nt", reason="the signal is sent in the way of Unix")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])  # Ctrl-C, and a polite kill
def test_a_signal_ends_a_run_and_its_notebook(folder, name):
    write(folder, "01_long", "import os, pathlib, time",
          "pathlib.Path('up').write_text(str(os.getpid()))",
          "pathlib.Path('waits').touch()\ntime.sleep(60)")
    program = ("import sys\nfrom pathlib import Path\nfrom utils import course, environment\n"
               "from utils.__main__ import main\n"
               "course.ROOT = Path(sys.argv[1])\nenvironment.ensure = lambda: None\n"
               "course.NOTEBOOKS, course.BUILD = course.ROOT / 'notebooks', course.ROOT / 'build'\n"
               "sys.exit(main(['run', '01']))\n")
    process = subprocess.Popen([sys.executable, "-c", program, str(folder)], cwd=ROOT, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        wait_for(folder / "notebooks" / "waits")
        process.send_signal(getattr(signal, name))
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    assert errors == "\nStopped. Nothing is lost; run the command again to go on.\n"
    with pytest.raises(ProcessLookupError):
        os.kill(int((folder / "notebooks" / "up").read_text()), 0)


def test_what_keeps_nothing_half_done_does_not_promise_to_go_on(monkeypatch, capsys):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(environment, "ensure", lambda: None)
    monkeypatch.setattr("utils.__main__.act", stopped)
    assert main(["exam"]) == 130
    assert "begin anew" in capsys.readouterr().err
    assert main(["bench"]) == 130
    assert "Nothing is lost" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise there")
def test_a_reader_who_has_seen_enough_is_no_error():
    program = ("import sys\nfrom utils import __main__ as m, environment\n"
               "environment.ensure = lambda: None\n"
               "m.act = lambda *_: [print('line') for _ in range(100_000)] and 0\n"
               "sys.exit(m.main(['ask', 'why']))\n")
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == "line\n"
    process.stdout.close()
    assert process.stderr.read() == "" and process.wait(20) == 1


def wait_for(path: Path, seconds: float = 30) -> None:
    pause = threading.Event()
    for _ in range(int(seconds * 10)):
        if path.exists():
            return
        pause.wait(0.1)
    raise AssertionError(f"{path.name} did not come")


# ---------------------------------------------------------------- test, lab


def test_test_and_lab_call_this_python_in_the_course(monkeypatch):
    calls = []
    monkeypatch.setattr(environment, "call", lambda command, **options: (
        calls.append((command, options)) or 5))
    assert course.test(["-k", "grading"]) == course.lab([]) == 5
    (pytest_command, options), (lab_command, _) = calls
    assert pytest_command[:4] == [sys.executable, "-m", "pytest", "--nbval"]
    assert pytest_command[-2:] == ["-k", "grading"]
    assert options["env"]["COURSE_PROFILE"] == "embedded" and options["cwd"] == ROOT
    assert options["env"]["HF_HUB_OFFLINE"] == "1"
    assert lab_command[:4] == [sys.executable, "-m", "jupyter", "lab"]


def test_test_runs_in_two_lanes_and_the_worse_of_their_codes_counts(monkeypatch, tmp_path, capsys):
    calls = []

    class Second:
        def __init__(self, command, stdout, **options):
            calls.append(command)
            stdout.write("3 passed beside\n")
            self.wait, self.kill = lambda: 1, lambda: None

    monkeypatch.setattr(course, "BUILD", tmp_path / "build")
    monkeypatch.setattr(course.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(course.subprocess, "Popen", Second)
    monkeypatch.setattr(environment, "call", lambda command, **_: (calls.append(command)) or 0)
    assert course.test([]) == 1
    assert "3 passed beside" in capsys.readouterr().out
    second, first = calls
    parts = [[w for w in c if w.endswith((".ipynb", "tests"))] for c in (first, second)]
    assert sorted([*parts[0], *parts[1]]) == sorted(
        ["tests", *(str(p.relative_to(ROOT)) for p in course.notebooks())])
    assert "tests" in parts[0] and any("05_" in p for p in parts[1])
    monkeypatch.setattr(course.os, "cpu_count", lambda: 1)
    calls.clear()
    assert course.test([]) == 0 and len(calls) == 1 and "tests" not in calls[0]


# ---------------------------------------------------------------- links

COLAB = "https://colab.research.google.com/github/{}/blob/main/notebooks/01_a.ipynb"
CLONE = "https://github.com/{}.git"
OTHER = "https://github.com/pytorch/pytorch"


@pytest.fixture
def linked(folder) -> Path:
    """A copy of the course's links, in every kind of file that holds one."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    old = course.repository()
    text = f"[Colab]({COLAB.format(old)})\r\n`git clone {CLONE.format(old)} course`, {OTHER}\r\n"
    for name in ("README.md", "notebooks/README.md"):
        (folder / name).write_bytes(text.encode())
    write(folder, "01_a", f"!git clone {CLONE.format(old)}  # ü")
    write(folder, "extras/b", f"# {COLAB.format(old)}")
    return folder


def texts(folder: Path) -> dict[str, str]:
    paths = [p for p in folder.rglob("*") if p.suffix in {".md", ".ipynb", ".toml"}]
    return {p.relative_to(folder).as_posix(): p.read_bytes().decode() for p in paths}


@pytest.mark.parametrize("word", ["ada/my-course.v2", "https://github.com/ada/my-course.v2",
                                  "https://github.com/ada/my-course.v2.git", "ada/my-course.v2/"])
def test_links_writes_the_address_everywhere_and_nothing_else(linked, word, capsys):
    old, before = course.repository(), texts(linked)
    assert main(["links", word]) == 0
    assert course.repository() == "ada/my-course.v2"
    assert texts(linked) == {name: text.replace(old, "ada/my-course.v2")
                             for name, text in before.items()}
    assert OTHER in texts(linked)["README.md"]
    assert capsys.readouterr().out == "The repository's address is ada/my-course.v2.\n"
    assert main(["links"]) == 0


@pytest.mark.parametrize("name", ["README.md", "notebooks/README.md", "notebooks/01_a.ipynb",
                                  "notebooks/extras/b.ipynb"])
def test_links_finds_the_one_that_disagrees(linked, name, capsys):
    old, path = course.repository(), linked / name
    path.write_bytes(path.read_bytes().replace(old.encode(), b"someone/else"))
    before = texts(linked)
    assert main(["links"]) == 1
    assert capsys.readouterr().err == (f"{name} links to another one. Run: python3 -m utils links "
                                       f"{old}\n")
    assert texts(linked) == before  # looking changes nothing


@pytest.mark.parametrize("word", ["ada", "ada/b/c", "https://gitlab.com/ada/b", "ada b/c"])
def test_links_refuses_what_is_no_address(linked, word, capsys):
    before = texts(linked)
    assert main(["links", word]) == 2
    assert capsys.readouterr().err == f"'{word}' is not an address of the form OWNER/NAME.\n"
    assert texts(linked) == before


def test_links_needs_no_environment(linked, monkeypatch):
    monkeypatch.setattr(environment, "ensure", lambda: pytest.fail("links made an environment"))
    assert main(["links"]) == 0


def test_links_of_the_course_agree(capsys):
    assert course.links([]) == 0, capsys.readouterr().err


# ---------------------------------------------------------------- doctor


@pytest.fixture
def healthy(tmp_path, monkeypatch):
    """A machine on which all is well: a pocket model, memory, every package, no network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    known = {**profiles.PROFILES}
    for name in ("embedded", "wheel"):
        known[name] = replace(known[name], generator=str(tmp_path))
    monkeypatch.setattr(profiles, "PROFILES", known)
    monkeypatch.setattr(profiles, "_hub_answers", lambda: False)
    monkeypatch.setattr(profiles, "_stored", lambda model: False)
    monkeypatch.setattr(environment, "stamped", lambda: False)
    monkeypatch.setattr(packages, "missing", lambda *_: [])
    monkeypatch.setattr(doctoring, "_memory_gb", lambda: 16.0)
    return tmp_path


def doctor(capsys) -> tuple[int, str]:
    code = doctoring.doctor([])
    printed = capsys.readouterr().out
    marks = len(re.findall(r"(?m)^!! ", printed))
    assert code == (1 if marks else 0)
    assert ("All is well." in printed) == (not marks)
    assert re.search(rf"(?m)^{marks} things? to put right", printed) or not marks
    for name in profiles.PROFILES:
        assert re.search(rf"(?m)^..  profile +{name} ", printed)
    return code, printed


def test_doctor_of_this_machine_is_consistent(monkeypatch, capsys):
    monkeypatch.setattr(environment, "stamped", lambda: False)  # this Python, not .venv's
    doctor(capsys)


def test_doctor_finds_nothing_on_a_healthy_machine(healthy, capsys):
    code, printed = doctor(capsys)
    assert code == 0 and re.search("embedded .*: usable", printed)
    assert re.search("(?m)^--  profile +cpu .*: no, .*out of reach.* COURSE_PROFILE=embedded",
                     printed)


def test_doctor_misses_the_pocket_model(healthy, capsys):
    (healthy / "config.json").unlink()
    code, printed = doctor(capsys)
    assert code == 1 and "git checkout data/pocket_model" in printed


def test_doctor_misses_packages_and_still_names_every_profile(healthy, monkeypatch, capsys):
    def stored(model):
        raise ModuleNotFoundError("No module named 'huggingface_hub'", name="huggingface_hub")

    monkeypatch.setattr(profiles, "_stored", stored)
    monkeypatch.setattr(packages, "missing", lambda *_: ["torch", "numpy", "a", "b", "c"])
    monkeypatch.setitem(sys.modules, "torch", None)  # `import torch` fails
    code, printed = doctor(capsys)
    assert code == 1
    assert "Missing or out of range: torch, numpy, a, b and 1 more. Run: python3 -m utils run" in (
        printed)
    assert "huggingface_hub is not installed yet" in printed


@pytest.mark.parametrize(("memory", "free", "said"), [(2.0, 50e9, "needs about 4 GB"),
                                                      (None, 1e9, "Make room: the set-up needs 4")])
def test_doctor_measures_memory_and_disk(healthy, monkeypatch, capsys, memory, free, said):
    monkeypatch.setattr(doctoring, "_memory_gb", lambda: memory)
    monkeypatch.setattr(environment, "inside_venv", lambda: False)
    monkeypatch.setattr(packages, "missing", lambda *_: ["torch"])
    monkeypatch.setattr(doctoring.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    code, printed = doctor(capsys)
    assert code == 1 and said in printed


def test_doctor_lets_a_finished_environment_speak(monkeypatch):
    asked = []
    monkeypatch.setattr(environment, "inside_venv", lambda: False)
    monkeypatch.setattr(environment, "stamped", lambda: True)
    monkeypatch.setattr(doctoring.subprocess, "call",
                        lambda command, **_: asked.append(command) or 1)
    assert doctoring.doctor([]) == 1
    assert asked == [[str(environment.venv_python()), "-m", "utils", "doctor"]]


# ---------------------------------------------------------------- profiles


@pytest.fixture
def bare(monkeypatch):
    """A machine with a GPU, no stored model, and no variable of the reader's."""
    for name in ("COURSE_PROFILE", "COURSE_GENERATOR", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")  # set, so that it is put back when choose changes it
    monkeypatch.setattr(profiles, "_has_gpu", lambda: True)
    monkeypatch.setattr(profiles, "_stored", lambda model: False)
    monkeypatch.setattr(profiles, "_hub_answers", lambda: True)


HUB_PROFILES = [name for name, profile in profiles.PROFILES.items() if profile.needs_hub]


def test_unknown_profile_lists_the_known_ones(bare, monkeypatch):
    sentence = "There is no profile 'big'. Choose one of: embedded, wheel, cpu, t4, gpu."
    with pytest.raises(CourseError, match=f"^{re.escape(sentence)}$"):
        profiles.choose("big")
    monkeypatch.setenv("COURSE_PROFILE", "big")
    with pytest.raises(CourseError, match=f"^{re.escape(sentence)}$"):
        profiles.choose()


@pytest.mark.parametrize("name", HUB_PROFILES)
@pytest.mark.parametrize("value", ["1", "true"])
def test_profile_of_the_hub_says_that_the_hub_is_forbidden(bare, monkeypatch, name, value):
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    with pytest.raises(CourseError) as problem:
        profiles.choose(name)
    assert str(problem.value).startswith(f"The profile '{name}' cannot be used here: ")
    assert "HF_HUB_OFFLINE=1 forbids its download" in str(problem.value)
    assert str(problem.value).endswith("or use COURSE_PROFILE=embedded.")


@pytest.mark.parametrize("name", HUB_PROFILES)
def test_profile_of_the_hub_says_that_the_hub_is_out_of_reach(bare, monkeypatch, name):
    monkeypatch.setattr(profiles, "_hub_answers", lambda: False)
    with pytest.raises(CourseError, match="out of reach. Go online once, or use COURSE_PROFILE="
                                          "embedded.$"):
        profiles.choose(name)


@pytest.mark.parametrize("name", HUB_PROFILES)
def test_stored_models_need_no_hub(bare, monkeypatch, name):
    monkeypatch.setattr(profiles, "_stored", lambda model: True)
    monkeypatch.setattr(profiles, "_hub_answers", lambda: pytest.fail("the hub was asked"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert profiles.choose(name) is profiles.PROFILES[name]


@pytest.mark.parametrize("name", [n for n, p in profiles.PROFILES.items() if p.gpu])
def test_profile_of_a_gpu_says_that_there_is_none(bare, monkeypatch, name):
    monkeypatch.setattr(profiles, "_has_gpu", lambda: False)
    with pytest.raises(CourseError, match="needs an NVIDIA GPU.* Use COURSE_PROFILE=embedded"):
        profiles.choose(name)


def test_no_profile_becomes_another_one(bare, healthy, monkeypatch):
    monkeypatch.setattr(profiles, "_hub_answers", lambda: True)
    for name in profiles.PROFILES:
        monkeypatch.setenv("COURSE_PROFILE", name)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        assert profiles.choose() == profiles.choose(name) == profiles.PROFILES[name]


def test_embedded_is_the_default_and_goes_offline(bare, healthy):
    assert profiles.choose().name == "embedded"
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_generator_of_the_readers_own(bare, healthy, monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_GENERATOR", str(tmp_path))
    assert profiles.choose().generator == str(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(profiles, "_hub_answers", lambda: True)
    assert profiles.choose("cpu").needs_hub  # its embedder is still the hub's
    assert os.environ["HF_HUB_OFFLINE"] == "0"
    monkeypatch.setenv("COURSE_GENERATOR", "owner/name")
    assert profiles.choose().needs_hub
    monkeypatch.setenv("COURSE_GENERATOR", str(tmp_path / "mistyped"))
    with pytest.raises(CourseError, match="no folder here and no model of the hub. Correct the "):
        profiles.choose()


@pytest.fixture
def hub(monkeypatch):
    """A mirror of the hub on this machine, and no proxy on the way."""
    class Refuse(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(403)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Refuse)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    server.server_close()


def test_hub_is_asked_at_the_mirror_that_is_named(hub, monkeypatch):
    assert profiles._hub_answers()
    for address in ("http://127.0.0.1:9", "nonsense"):
        monkeypatch.setenv("HF_ENDPOINT", address)
        assert not profiles._hub_answers()


def test_model_ids_stand_only_in_profiles():
    known = {m for p in profiles.PROFILES.values() for m in (p.generator, p.embedder, p.reranker)
             if m and p.needs_hub} | {profiles.EMBEDDER_HUB_ID}
    owners = "|".join({re.escape(m.split("/")[0]) for m in known} | {
        "meta-llama", "mistralai", "microsoft", "google", "HuggingFaceTB", "TinyLlama", "intfloat"})
    written = re.compile(rf"""["'](?:{owners})/[\w.-]+["']""")
    for path, code in code_of_the_course():
        found = written.findall(code) + [m for m in known if m in code]
        if path == ROOT / "utils" / "profiles.py":
            assert len(known) >= 7 and {m.strip("\"'") for m in found} == known
        else:
            assert not found, f"{path} names {found[0]}"


def code_of_the_course():
    """(path, source) of every Python file and of every notebook's code cells."""
    for top in ("utils", "data", "tests", "notebooks"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix == ".py":
                yield path, path.read_text(encoding="utf-8")
            elif path.suffix == ".ipynb" and ".ipynb_checkpoints" not in path.parts:
                cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
                yield path, "\n".join("".join(c["source"]) for c in cells
                                      if c["cell_type"] == "code")
