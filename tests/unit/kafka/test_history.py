"""The log as far back as anyone has it: where it begins, and how what is kept and what Kafka holds join."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from common.errors import CannotStart
from common.kafka.batches import Logged, Partition
from common.kafka.history import History

PARTITION = Partition("records.a", 0)


@dataclass
class Kafka:
    """Holds the messages from one offset to before another."""

    oldest: int
    end: int
    written_at: int = 0

    async def bounds(self, _partition: Partition) -> tuple[int, int]:
        return self.oldest, self.end

    async def read(self, _partition: Partition, start: int, max_records: int) -> Sequence[Logged]:
        held = range(max(start, self.oldest), self.end)
        return [Logged(n, b"x", None, self.written_at) for n in held][: min(3, max_records)]

    async def first_since(self, _partition: Partition, _timestamp_ms: int) -> int:
        return self.end


@dataclass
class Kept:
    """Has everything before an offset, but for what it dropped."""

    end: int
    dropped: frozenset[int] = frozenset()
    lacks: tuple[int, int] | None = None

    def gap(self, _partition: int) -> tuple[int, int] | None:
        return self.lacks

    def until(self, _partition: int) -> int:
        return self.end

    async def oldest(self, _partition: int, since: int = 0) -> Logged | None:
        return next((Logged(n, b"x", None) for n in range(since, self.end) if n not in self.dropped), None)

    async def first_since(self, _partition: int, timestamp_ms: int) -> int | None:
        return timestamp_ms if timestamp_ms < self.end else None

    async def read(self, _partition: int, start: int, end: int, max_records: int) -> AsyncGenerator[Sequence[Logged]]:
        offsets = [n for n in range(start, min(end, self.end)) if n not in self.dropped]
        for first in range(0, len(offsets), min(4, max_records)):
            yield [Logged(n, b"x", None) for n in offsets[first : first + 4]]


async def offsets(history: History, start: int, end: int) -> list[int]:
    return [one.offset async for batch in history.read(PARTITION, start, end, asyncio.Event()) for one in batch]


@pytest.mark.parametrize(
    ("kafka", "kept", "expected"),
    [
        (Kafka(0, 20), None, list(range(20))),
        (Kafka(12, 20), None, list(range(12, 20))),
        (Kafka(12, 20), Kept(12), list(range(20))),
        (Kafka(5, 20), Kept(12), list(range(20))),  # both have some of it: each message comes once
        (Kafka(20, 20), Kept(20), list(range(20))),
        (Kafka(5, 20), Kept(12, frozenset({0, 10, 11})), [*range(1, 10), *range(12, 20)]),
        (Kafka(20, 20), Kept(20, frozenset({19})), list(range(19))),
        (Kafka(15, 20), Kept(12), [*range(12), *range(15, 20)]),
        (Kafka(3, 20), Kept(0), list(range(3, 20))),
    ],
)
async def test_what_is_kept_comes_first_and_kafka_goes_on(kafka, kept, expected) -> None:
    """In order, each once, to the very end that was asked for."""
    history = History(kafka, kept)
    assert await offsets(history, 0, 20) == expected
    assert await offsets(history, 4, 17) == [n for n in expected if 4 <= n < 17]


@pytest.mark.parametrize(
    ("kafka", "kept", "begin"),
    [
        (Kafka(0, 20), None, 0),
        (Kafka(12, 20), None, 12),
        (Kafka(12, 20), Kept(15, frozenset({0})), 1),
        (Kafka(15, 20), Kept(12), 15),  # what lies between is nowhere
        (Kafka(20, 20), Kept(12), 20),
        (Kafka(12, 20), Kept(15, frozenset(range(4, 9)), (4, 9)), 9),  # the lake's writer stood still for too long
        (Kafka(9, 20), Kept(9, frozenset(range(4, 9)), (4, 9)), 9),
    ],
)
async def test_it_begins_where_nothing_is_missing_behind(kafka, kept, begin) -> None:
    """The message there comes with it, where there is one."""
    at, message = await History(kafka, kept).begin(PARTITION)
    assert at == begin
    assert (message is None) is (begin == 20)


async def test_a_gap_is_told_and_another_log_refused() -> None:
    """The lake ends before Kafka begins, or after Kafka ends."""
    with capture_logs() as said:
        await History(Kafka(15, 20), Kept(12)).check(PARTITION)
        await History(Kafka(15, 20), Kept(15)).check(PARTITION)
        await History(Kafka(15, 20)).check(PARTITION)
        await History(Kafka(15, 20), Kept(15, frozenset(range(4, 9)), (4, 9))).check(PARTITION)
    assert [(one["start"], one["end"]) for one in said if one["event"] == "history_has_a_gap"] == [(12, 15), (4, 9)]
    with pytest.raises(CannotStart, match=r"records\.a/0 ends at 20, and the lake holds it up to 21"):
        await History(Kafka(15, 20), Kept(21)).check(PARTITION)


async def test_another_log_that_has_outgrown_the_lake_is_refused_too() -> None:
    """Where both have a message, it is the same one; what the lake dropped says nothing."""
    with pytest.raises(CannotStart, match=r"records\.a/0 has another message at 11"):
        await History(Kafka(0, 20, written_at=7), Kept(12)).check(PARTITION)
    await History(Kafka(0, 20, written_at=7), Kept(12, frozenset({11}))).check(PARTITION)
    await History(Kafka(0, 20), Kept(12)).check(PARTITION)


async def test_a_moment_is_looked_for_in_both() -> None:
    """In Kafka for what came after the lake ends."""
    history = History(Kafka(5, 20), Kept(12))
    assert [await history.first_since(PARTITION, ms) for ms in (3, 12)] == [3, 20]
