"""The log as far back as anyone has it: what is kept elsewhere of it, then what Kafka still holds."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Final, Protocol

import structlog

from common.errors import CannotStart, TryLater
from common.kafka.batches import Entry, Partition
from common.kafka.replay import Replay

log = structlog.get_logger()

_BATCH_RECORDS: Final = 1_000  # live batches and readers wait for no more than this
_PATIENCE: Final = 10
"""Reads that may bring nothing, of a second each: Kafka is busy, or starts again."""


class Past(Protocol):
    """Keeps one stream's log for longer than Kafka does."""

    def until(self, partition: int) -> int:
        """The offset before which it has everything; 0 where it has nothing."""

    def gap(self, partition: int) -> tuple[int, int] | None:
        """From which offset on, and before which one, it lacks what the log had; of several such gaps the last."""

    async def oldest(self, partition: int, since: int = 0) -> Entry | None:
        """The first message that it has at `since` or behind it."""

    async def first_since(self, partition: int, timestamp_ms: int) -> int | None:
        """The offset of the first message written at or after `timestamp_ms`; None where it has none."""

    def read(self, partition: int, start: int, end: int, max_records: int) -> AsyncGenerator[Sequence[Entry]]:
        """What it has from `start` to before `end`, in the order of the log, by batches."""


class History:
    """One stream's log, each partition read up to any offset: from `past`, where there is one, then from Kafka."""

    def __init__(self, replay: Replay, past: Past | None = None) -> None:
        self._replay = replay
        self._past = past

    def kept(self, partition: Partition) -> int:
        """Up to where it need not be read from Kafka; 0 where nobody else has it."""
        return 0 if self._past is None else self._past.until(partition.number)

    async def check(self, partition: Partition) -> None:
        """See that what is kept elsewhere is of this log, and tell where something is missing, in it or behind it.

        Raises:
            CannotStart: it reaches further than the log does, or says something else where both have a message.
            TryLater: Kafka, or what is kept elsewhere, is away; so with all that follows here.
        """
        if self._past is None:
            return
        until, (oldest, end) = self.kept(partition), await self._replay.bounds(partition)
        name = f"{partition.topic}/{partition.number}"
        if until > end:
            raise CannotStart(f"{name} ends at {end}, and the lake holds it up to {until}: it is another log.")
        if gap := self._past.gap(partition.number):
            log.warning("history_has_a_gap", partition=name, start=gap[0], end=gap[1])
        if until < oldest:
            log.warning("history_has_a_gap", partition=name, start=until, end=oldest)
        elif until > oldest and await self._differ(self._past, partition, until - 1):
            raise CannotStart(f"{name} has another message at {until - 1} than the lake has: it is another log.")

    async def _differ(self, past: Past, partition: Partition, offset: int) -> bool:
        """Whether both have a message there, and not the same."""
        ours = [entry for entry in await self._replay.read(partition, offset, 1) if entry.offset == offset]
        async with aclosing(past.read(partition.number, offset, offset + 1, 1)) as batches:
            theirs = [entry async for entries in batches for entry in entries]
        pairs = zip(ours, theirs, strict=False)
        return any((one.key, one.timestamp) != (other.key, other.timestamp) for one, other in pairs)

    async def begin(self, partition: Partition) -> tuple[int, Entry | None]:
        """From which offset on nothing is missing, and the message there; None where no message is left."""
        oldest, end = await self._replay.bounds(partition)
        first = None if self._past is None else await self._oldest(self._past, partition.number)
        if first is not None and self.kept(partition) >= oldest:
            return first.offset, first
        entries = await self._replay.read(partition, oldest, 1) if end > oldest else ()
        return oldest, entries[0] if entries else None

    async def _oldest(self, past: Past, partition: int) -> Entry | None:
        """The first message behind which nothing is missing of what is kept."""
        gap = past.gap(partition)
        return await past.oldest(partition, gap[1] if gap else 0)

    async def first_since(self, partition: Partition, timestamp_ms: int) -> int:
        """The offset of the first message written at or after `timestamp_ms`; the log's end where there is none."""
        kept = None if self._past is None else await self._past.first_since(partition.number, timestamp_ms)
        return await self._replay.first_since(partition, timestamp_ms) if kept is None else kept

    async def read(
        self, partition: Partition, start: int, end: int, stop: asyncio.Event
    ) -> AsyncIterator[Sequence[Entry]]:
        """What there is from `start` to before `end`, by batches; stops early with `stop`.

        Raises:
            TryLater: it stopped answering: what is not read would be missing from what is made of it.
        """
        at = start
        if self._past is not None:
            async with aclosing(self._past.read(partition.number, start, end, _BATCH_RECORDS)) as batches:
                async for entries in batches:
                    if stop.is_set():
                        return
                    yield entries
            at = max(start, self.kept(partition))
        async for entries in self._rest(partition, at, end, stop):
            yield entries

    async def _rest(
        self, partition: Partition, start: int, end: int, stop: asyncio.Event
    ) -> AsyncIterator[Sequence[Entry]]:
        """What Kafka has of it."""
        at, patience = start, _PATIENCE
        while at < end and not stop.is_set():
            read = await self._replay.read(partition, at, _BATCH_RECORDS)
            if entries := [entry for entry in read if entry.offset < end]:
                yield entries
                at, patience = entries[-1].offset + 1, _PATIENCE
            elif read or await self._is_gone(partition, at, end):
                return
            elif patience == 0:
                raise TryLater(f"Kafka stopped answering at {at} of {partition.topic}/{partition.number}")
            else:
                patience -= 1

    async def _is_gone(self, partition: Partition, at: int, end: int) -> bool:
        """Whether retention took all from `at` to before `end`, or the log was made anew meanwhile."""
        oldest, next_offset = await self._replay.bounds(partition)
        return oldest >= end or next_offset <= at
