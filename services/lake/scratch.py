"""A folder of a process's own, for what its queries spill; what processes that were killed left behind goes first.

A lock tells whose process still lives: the kernel gives it up with the process, whatever ended that.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger()

_PREFIX: Final = "twinstream-lake-scratch-"  # the version before made others, and held no lock
_LOCK: Final = "lock"


@contextmanager
def scratch() -> Iterator[Path]:
    """The folder, for as long as the context lasts; other users may pass through it, and not look into it."""
    tidy()
    folder, lock = _claimed()
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def tidy() -> None:
    """Delete the folders of this user's processes that live no more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another one is faster, or it is not ours
            if folder.lstat().st_uid == os.geteuid():
                _delete_if_left(folder)


def _delete_if_left(folder: Path) -> None:
    lock = _opened(folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)
        log.info("left_behind_deleted", folder=str(folder))
    finally:
        os.close(lock)


def _claimed() -> tuple[Path, int]:
    """A new folder and its lock; one that someone takes for left behind in the moment between the two is given up."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with suppress(FileNotFoundError):
            lock = _opened(folder)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _opened(folder: Path) -> int:
    return os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
