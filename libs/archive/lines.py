"""How an archive is written: a line of JSON for itself, one for each thing it holds, and one that tells it is whole.

    {"archive": 1, "version": "0.1.0", "made_at": "2026-11-26T02:00:00.000Z"}
    {"control": "rule/refunds", "value": {...}}         as it stands in the log, whatever version wrote it
    {"control": "rule/x", "raw": "Z2FyYmFnZQ=="}        one that is no JSON, in base64
    {"collection": "alerts", "document": {...}}         MongoDB's Extended JSON, canonical: every type comes back
    {"end": {"control": 1, "alerts": 1}}

Pure, but for the file. A file without its last line was cut off, and is no archive.
"""

import os
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from common.decoding import UNREADABLE
from common.errors import CannotStart

FORMAT: Final = 1
CONTROL: Final = "control"
"""What entries of control are counted as."""


class Head(msgspec.Struct, kw_only=True):
    """The first line."""

    archive: int
    version: str
    made_at: str


class Item(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A line in between: an entry of control with its value, or a document of a collection."""

    control: str | None = None
    value: msgspec.Raw = msgspec.Raw()
    raw: bytes | None = None
    collection: str | None = None
    document: msgspec.Raw = msgspec.Raw()

    @property
    def entry(self) -> bytes:
        """The value of an entry of control, byte by byte."""
        return bytes(self.value) if self.raw is None else self.raw

    @property
    def counted_as(self) -> str:
        return self.collection or CONTROL


class _End(msgspec.Struct, kw_only=True):
    end: dict[str, int]


def entry(key: str, value: bytes) -> Item:
    """An entry of control; control keeps what it cannot read, so a value may be anything."""
    return Item(control=key, value=msgspec.Raw(value)) if _fits_a_line(value) else Item(control=key, raw=value)


def _fits_a_line(value: bytes) -> bool:
    try:
        whole = bytes(msgspec.json.decode(value, type=msgspec.Raw)) == value  # no blanks around it, which would be lost
    except UNREADABLE:
        return False
    return whole and b"\n" not in value


def document(collection: str, extended: str) -> Item:
    """A document in Extended JSON."""
    return Item(collection=collection, document=msgspec.Raw(extended.encode()))


class Writer:
    """Adds items to an archive that is being written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.held = Counter[str]()

    def add(self, item: Item) -> None:
        self._file.write(msgspec.json.encode(item) + b"\n")
        self.held[item.counted_as] += 1


@contextmanager
def writing(path: Path, head: Head) -> Iterator[Writer]:
    """An archive that only this user can read; it takes its name once it is whole, and leaves nothing if it fails."""
    fresh = path.with_name(f".{path.name}.part")
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600)
    try:
        with fresh.open("wb") as file:
            file.write(msgspec.json.encode(head) + b"\n")
            writer = Writer(file)
            yield writer
            file.write(msgspec.json.encode(_End(end=dict(writer.held))) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
    finally:
        fresh.unlink(missing_ok=True)


def check(path: Path) -> Counter[str]:
    """What an archive holds.

    Raises:
        CannotStart: it is none, is of a later format, or is not whole.
    """
    held = Counter(item.counted_as for item in read(path))
    with path.open("rb") as file:
        last = deque(file, maxlen=1).pop()
    try:
        end = msgspec.json.decode(last, type=_End).end
    except UNREADABLE as error:
        raise CannotStart(f"{path} is not whole: its last line cannot be read") from error
    if end != held:
        raise CannotStart(f"{path} does not hold what its last line says")
    return held


def read(path: Path) -> Iterator[Item]:
    """What an archive holds, in its order.

    Raises:
        CannotStart: as above.
    """
    with path.open("rb") as file:
        _check_head(path, file.readline())
        for number, line in enumerate(file, start=2):
            if line.startswith(b'{"end":'):
                return
            try:
                yield msgspec.json.decode(line, type=Item)
            except UNREADABLE as error:
                raise CannotStart(f"{path}, line {number}, cannot be read: {error}") from error
    raise CannotStart(f"{path} is not whole: it was cut off, or its writing has not ended")


def _check_head(path: Path, line: bytes) -> None:
    try:
        head = msgspec.json.decode(line, type=Head)
    except UNREADABLE as error:
        raise CannotStart(f"{path} is no archive of Twinstream: {error}") from error
    if head.archive != FORMAT:
        raise CannotStart(f"{path} was written by {head.version}, in a format that only later versions read")
