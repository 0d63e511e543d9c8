"""The lake's log reads as the messages that it was made of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from common.clock import ManualClock, SystemClock
from common.contracts import RecordB, Stream
from common.errors import TryLater
from common.kafka.batches import Logged
from lake.maintenance.compaction import LogCompaction
from lake.maintenance.expiry import Expiry, Keep
from lake.maintenance.latest import LatestTables
from lake.writer.log_table import LogTable
from lake.writer.rows import read
from twinstream_lake.engine import Engine
from twinstream_lake.past import LakePast

BEGIN_MS = 1_790_000_000_000
MESSAGES = 90


@dataclass(frozen=True)
class Log:
    """Ninety messages in each of two partitions, in the lake in pieces of ten; some are tombstones."""

    lake: Any
    table: LogTable
    messages: dict[int, list[Logged]]

    def past(self, span: int = 25) -> LakePast:
        past = LakePast(self.lake.settings, Stream.B, span)
        past.pin()
        return past

    def lose_files(self) -> None:
        for file in Path(self.lake.settings.lake_warehouse).rglob("*.parquet"):
            file.unlink()

    def exchange_files(self) -> None:
        """As maintenance does when it was not there for long: all files are new, and the old ones gone."""
        day_ms = 86_400_000
        LogCompaction(self.lake.catalog, Engine(64), Stream.B, ManualClock(BEGIN_MS + 10 * day_ms), 2).run()
        clock = ManualClock(SystemClock().now_ms() + 1_000)
        Expiry(self.lake.catalog, "b_log", clock, Keep(age_ms=0, snapshots=1, grace_ms=0)).run()


def message(partition: int, n: int) -> Logged:
    id_, at = f"b{partition}-{n}", BEGIN_MS + n * 1_000
    record = RecordB(id=id_, a_id="ä", number=n / 7, text=f"\x00 “{n}”", event_time=at - n, ingested_at=at * 1000 + n)
    return Logged(n, id_.encode(), None if n % 10 == 3 else msgspec.json.encode(record), at)


@pytest.fixture
def log(lake) -> Log:
    table = LogTable(lake.catalog, Stream.B)
    table.prepare()
    LatestTables(lake.catalog, Engine(64), 1_000).prepare()
    messages = {partition: [message(partition, n) for n in range(MESSAGES)] for partition in (0, 1)}
    for start in range(0, MESSAGES, 10):
        batches = [read(Stream.B, number, said[start : start + 10]).batch for number, said in messages.items()]
        table.append(batches, table.positions(), dict.fromkeys(messages, start + 10))
    return Log(lake, table, messages)


@pytest.fixture
def past(log) -> Iterator[LakePast]:
    past = log.past()
    yield past
    past.close()


async def everything(past: LakePast, partition: int, start: int, end: int) -> Sequence[Logged]:
    found: list[Logged] = []
    async for batch in past.read(partition, start, end, 8):
        assert 1 <= len(batch) <= 8
        found += batch
    return found


@pytest.mark.parametrize(("start", "end"), [(0, MESSAGES), (7, 8), (13, 62), (60, 10_000), (MESSAGES, 10_000)])
async def test_what_is_read_is_what_was_written(log, past, start, end) -> None:
    """Byte for byte, in its order, from any offset to any other; tombstones, too."""
    assert past.until(1) == MESSAGES
    assert await everything(past, 1, start, end) == log.messages[1][start:end]


async def test_the_beginning_and_moments_are_found(past) -> None:
    """A moment between two messages is the later one's; behind the last there is none."""
    first = await past.oldest(0)
    assert first is not None
    assert (first.offset, first.timestamp) == (0, BEGIN_MS)
    assert await past.first_since(0, BEGIN_MS + 4_001) == 5
    assert await past.first_since(0, BEGIN_MS + MESSAGES * 1_000) is None


async def test_a_partition_that_the_lake_does_not_have_is_empty(past) -> None:
    """It came to the topic since."""
    assert (past.until(7), await past.oldest(7), await everything(past, 7, 0, 100)) == (0, None, [])
    assert await past.first_since(7, 0) is None


async def test_files_that_maintenance_exchanges_meanwhile_stop_nothing(log, past) -> None:
    """What was pinned is gone half-way: the rest is read from where the rows are now."""
    found: list[Logged] = []
    async for batch in past.read(0, 0, MESSAGES, 8):
        if not found:
            log.exchange_files()
        found += batch
    assert found == log.messages[0]


async def test_files_that_are_gone_for_no_reason_are_told(log, past) -> None:
    """The table has not moved: somebody deleted them."""
    log.lose_files()
    with pytest.raises(TryLater, match="DuckDB did not finish"):
        await everything(past, 0, 0, MESSAGES)


async def test_a_lake_without_the_table_is_told(lake) -> None:
    """Its writer has not run yet."""
    with pytest.raises(TryLater, match="no such table"):
        LakePast(lake.settings, Stream.B).pin()
