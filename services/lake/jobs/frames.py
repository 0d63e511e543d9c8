"""What the child that runs a query says to the service, over a pipe: frames of a kind, a length and a body.

page      a page of the result, as it will be answered
progress  the share that is done, as JSON
end       an `Ended`, as JSON: the last frame; a child that ends without one has come to grief
"""

import struct
from enum import IntEnum
from typing import Any, Final, Protocol

import msgspec

from common.analytics import Column, Format

HEADER: Final = struct.Struct(">BI")
MAX_FRAME_BYTES: Final = 64 * 1024 * 1024


class Kind(IntEnum):
    PAGE = 1
    PROGRESS = 2
    END = 3


class Task(msgspec.Struct, kw_only=True, frozen=True):
    """What a child is to do; it is told on its standard input, as JSON."""

    sql: str
    parameters: list[Any] | dict[str, Any]
    views: dict[str, str]
    """The query behind each view, in an order in which none needs a later one."""
    files: list[str]
    """What may be read."""
    format: Format
    max_rows: int
    max_bytes: int
    page_rows: int
    spill: str
    """A folder of the child's own."""
    spill_mb: int
    memory_mb: int
    address_space_mb: int
    cpu_seconds: int
    user: str | None
    """Who the child becomes, where it may."""
    worker: int
    """The process that it is asked by."""
    steps_back: bool = True
    """Whether it gives way to every other process."""


class Ended(msgspec.Struct, kw_only=True, frozen=True):
    """How it ended: with a code when it failed."""

    code: str | None = None
    detail: str = ""
    columns: list[Column] = []
    rows: int = 0
    truncated: bool = False
    confinement: dict[str, bool] = {}


class Sink(Protocol):
    """Where frames go."""

    def write(self, data: bytes, /) -> object: ...
    def flush(self) -> object: ...


def send(sink: Sink, kind: Kind, body: bytes) -> None:
    sink.write(HEADER.pack(kind, len(body)))
    sink.write(body)
    sink.flush()
