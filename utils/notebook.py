"""What the first cell of every notebook calls: the environment is checked, a profile chosen.

On Colab it also installs what is missing, and leaves the torch and numpy that Colab has loaded
alone. Elsewhere it installs nothing: `python3 -m utils lab` has already done that.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import warnings

from utils import environment, packages
from utils.documents import CourseError
from utils.profiles import Profile, choose

warnings.filterwarnings("ignore", message="IProgress not found")  # text bars do as well
warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")  # of PEFT's making
DATA = environment.ROOT / "data"
BUILD = environment.ROOT / "build"
LEFT_ALONE = ("torch", "numpy")


def start(profile: str | None = None) -> Profile:
    """The profile this notebook runs under; says what it is, or why it cannot be had."""
    problem = environment.python_problem()
    if problem:
        raise CourseError(problem)
    if "google.colab" in sys.modules:
        _complete_colab()
    absent = packages.missing(extras=())
    if absent:
        raise CourseError(f"Missing here: {', '.join(absent[:5])}. Close the notebook and open it "
                          "with: python3 -m utils lab")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    _quiet()
    from utils.index import calm_on_a_mac

    calm_on_a_mac()
    chosen = choose(profile)
    print(f"profile {chosen.name}: {chosen.where}")
    return chosen


def _quiet() -> None:
    """Loading bars and notices of the libraries say nothing a learner needs."""
    import transformers
    from huggingface_hub.utils import disable_progress_bars

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    disable_progress_bars()


def _complete_colab() -> None:
    from importlib import metadata

    print(f"Python {platform.python_version()}, torch {metadata.version('torch')}, numpy "
          f"{metadata.version('numpy')} (Colab's own are kept)")
    wanted = [line for line in packages.requirements()
              if re.match(r"[\w.-]+", line).group() not in LEFT_ALONE]
    absent = {name.split(" ")[0] for name in packages.missing(extras=())} - set(LEFT_ALONE)
    if not absent:
        return
    lines = [line for line in wanted if re.match(r"[\w.-]+", line).group() in absent]
    loaded = {name: sys.modules[name].__version__ for name in LEFT_ALONE if name in sys.modules}
    keep = [f"{name}=={metadata.version(name)}" for name in LEFT_ALONE]
    print(f"Installing {len(lines)} packages, a minute or two …")
    done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *lines, *keep],
                          capture_output=True, text=True)
    if done.returncode:
        raise CourseError("The installation failed: " + done.stderr.strip()[-400:] +
                          " Run the cell again; if it fails again, use Runtime > Disconnect and "
                          "delete runtime, then start over.")
    for name, version in loaded.items():
        if metadata.version(name) != version:
            raise CourseError(f"{name} was replaced while it was loaded ({version} -> "
                              f"{metadata.version(name)}). Choose Runtime > Restart session, then "
                              "run this cell again.")
