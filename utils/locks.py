"""One process at a time, and a file in one piece: for what two at once, or a kill, would spoil.

Needs nothing but Python, because the set-up uses it before anything is installed.
"""

from __future__ import annotations

import errno
import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def alone(lock: Path, waiting: str = "", pause: float = 1):
    """What stands in this block is done by one process at a time; the others wait.

    The lock is the system's, on an open file, and ends with the process that holds it: one that
    was killed leaves the file behind and holds nobody up.
    """
    with lock.open("ab") as file:
        told = not waiting
        while not _locked(file):
            if not told:
                print(waiting, flush=True)
                told = True
            time.sleep(pause)
        yield


@contextmanager
def replacing(path: Path):
    """A file to be written, which takes the place of the old one when the block has ended well.

    Whatever happens, there is the old one or the new one, and whole.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def in_one_piece(path: Path, text: str) -> None:
    """Writes a text file so."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="replace")


def _locked(file) -> bool:
    """Takes the lock; False while another process has it."""
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        # Any other error: a network disk without locks, where waiting would never end.
        return problem.errno not in {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
    return True
