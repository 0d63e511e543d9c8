"""What a worker is handed: messages of one partition, and what it promises about them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from common.telemetry import TRACEPARENT, trace_id


class Partition(NamedTuple):
    """A partition of a topic, the topic's name without prefix."""

    topic: str
    number: int


class Entry(Protocol):
    """One message of the log."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Logged(NamedTuple):
    """An entry that was not read out of Kafka."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(frozen=True)
class Batch:
    """Messages of one partition that follow each other in the log."""

    partition: Partition
    position: int
    """Where the store stood before: what a compare-and-set of the position must find; 0 where it knew none."""
    entries: Sequence[Entry]
    """At least one."""

    @property
    def next_position(self) -> int:
        """The offset to read from once this batch is applied."""
        return self.entries[-1].offset + 1

    def traces(self) -> list[str]:
        """The trace ids that the messages carry, each once, sorted."""
        return sorted({trace_id(value.decode(errors="replace")) for value in self.traceparents()})

    def traceparents(self) -> set[bytes]:
        """What the messages carry of the requests that they came with."""
        return {value for entry in self.entries for name, value in entry.headers if name == TRACEPARENT}


class Handler(Protocol):
    """What a worker does with its batches."""

    async def positions(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """The next offset to read per partition, as the store has it; those it does not know are left out.

        Asked at every assignment, and again every few seconds: a store that lost its last writes is noticed by it.
        """

    async def apply(self, batch: Batch) -> None:
        """Take in `batch` and move the position to its `next_position`; twice must do no more than once."""
