"""The words behind a command -> its options; a refusal is one clear sentence."""

from __future__ import annotations

import argparse

from utils.documents import CourseError


class Parser(argparse.ArgumentParser):
    """Reads the options of a command; `python3 -m utils COMMAND --help` prints the course's own."""

    def __init__(self, command: str) -> None:
        super().__init__(f"python3 -m utils {command}", add_help=False)

    def error(self, message: str):
        raise CourseError(f"{message[0].upper()}{message[1:]}. See: {self.prog} --help")
