"""How far a file has been sent, kept on disk so that `send` goes on where it stopped."""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from twinstream.sending.lines import START, Position
from twinstream.sending.tally import Tally

_RECOGNISED_BY: Final = 64 * 1024  # bytes at a file's start


class Checkpoint(msgspec.Struct):
    """Everything up to `position` is acknowledged and counted in `tally`.

    `refusals` is the file that `--refusals` named, of which `refusals_bytes` belong to what is acknowledged.
    """

    position: Position = START
    tally: Tally = msgspec.field(default_factory=Tally)
    refusals: str | None = None
    refusals_bytes: int = 0


class Checkpoints:
    """The checkpoint of one file, sent in one way to one place."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f"{name}.json"

    def load(self) -> Checkpoint | None:
        """The last one saved; None when there is none, or none that can be read."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Checkpoint)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the last one in one step: an interruption leaves the one or the other."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(checkpoint))
        fresh.replace(self._path)

    def discard(self) -> None:
        self._path.unlink(missing_ok=True)


def name_of(path: Path, file: BinaryIO, *how: str | None) -> str:
    """A name that changes when the file does (path, size, time of change, first bytes) or when it is sent otherwise."""
    about = os.fstat(file.fileno())
    identity = (str(path.absolute()), about.st_size, about.st_mtime_ns, os.pread(file.fileno(), _RECOGNISED_BY, 0), how)
    return hashlib.sha256(msgspec.json.encode(identity)).hexdigest()[:32]
