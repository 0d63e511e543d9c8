"""The logs of supervised processes: one file each, kept to a size, with its predecessor beside it."""

import os
import shutil
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 50 * 1024 * 1024

_TAIL_BYTES: Final = 64 * 1024


def rotate(log: Path, max_bytes: int = MAX_BYTES) -> bool:
    """Move what a log holds into `<log>.1` once it has grown past `max_bytes`; returns whether it did.

    The file itself stays and is emptied, since a process may have it open; what is written in between is lost.
    """
    if not log.exists() or log.stat().st_size <= max_bytes:
        return False
    shutil.copyfile(log, previous(log))
    os.truncate(log, 0)
    return True


def previous(log: Path) -> Path:
    """Where the lines before the last rotation are."""
    return log.with_name(f"{log.name}.1")


def last_lines(log: Path, count: int, since: int = 0) -> list[str]:
    """The last `count` lines of a log, of those that begin after byte `since`; fewer when they are very long."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            begin = max(since if since <= size else 0, size - _TAIL_BYTES)
            file.seek(begin)
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    cut_off = begin > since  # the first one has lost its head
    whole = lines[1:] if cut_off else lines
    return whole[max(0, len(whole) - count) :]
