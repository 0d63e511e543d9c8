"""A lake in a folder to throw away, fed from topics of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from common.clock import ManualClock, SystemClock
from common.contracts import RECORD, RECORDS, RecordA, RecordB, Stream, version_of
from common.health import Health
from common.kafka.batches import Logged
from common.kafka.follower import Follower
from common.kafka.producer import Message, Producer
from common.settings import KafkaSettings, LakeSettings
from documents.versions import fold
from lake.maintenance.compaction import LogCompaction
from lake.maintenance.expiry import Expiry, Keep
from lake.maintenance.latest import LatestTables
from lake.settings import WriterSettings
from lake.writer.log_table import LogTable
from lake.writer.rows import read
from lake.writer.wiring import assembled
from twinstream_lake.catalog import Catalog
from twinstream_lake.engine import Engine
from twinstream_lake.pins import pin
from twinstream_lake.views import views

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
ENGINE = Engine(256)
AT_ONCE = Keep(age_ms=0, snapshots=1, grace_ms=0)
Place = tuple[int, int, str]


@dataclass(frozen=True)
class Tables:
    """A lake's tables, read past what wrote them."""

    settings: LakeSettings
    catalog: Catalog

    def count(self, table: str = "b_log") -> int:
        return self.catalog.load(table).scan().count()

    def rows(self, table: str = "b_log") -> list[dict[str, Any]]:
        """All rows of a log, in its order."""
        rows = self.catalog.load(table).scan().to_arrow().to_pylist()
        return sorted(rows, key=lambda row: (row["kafka_partition"], row["kafka_offset"]))

    def places(self, table: str = "b_log") -> list[Place]:
        return [(row["kafka_partition"], row["kafka_offset"], row["unique_identifier"]) for row in self.rows(table)]


@dataclass(frozen=True)
class Feed:
    """The log that a lake is fed from, and writers that feed it."""

    settings: WriterSettings
    producer: Producer

    async def send(self, stream: Stream, said: Sequence[RecordA | str], timestamp_ms: int | None = None) -> None:
        """Write records, and ids for tombstones; as of now, for Kafka drops at once what is older than it keeps."""
        timestamp_ms = SystemClock().now_ms() if timestamp_ms is None else timestamp_ms
        await self.producer.publish(RECORDS[stream], [_message(one, timestamp_ms) for one in said])

    async def everything(self, topic: str) -> list[Place]:
        """All messages of a topic: partition, offset, key."""
        follower = Follower(self.settings, topic)
        await follower.start()
        found: list[Place] = []
        try:
            await follower.place({})
            end = sum(high - low for low, high in (await follower.bounds()).values())
            async with asyncio.timeout(60):
                while len(found) < end:
                    for number, entries in (await follower.read(10_000, 100)).items():
                        found += [(number, entry.offset, (entry.key or b"").decode()) for entry in entries]
        finally:
            await follower.stop()
        return sorted(found)

    @asynccontextmanager
    async def writing(self, **changes: Any) -> AsyncIterator[asyncio.Task[Any]]:
        """A writer at work, ended in good order on the way out."""
        stop = asyncio.Event()
        async with assembled(self.settings.model_copy(update=changes), Health(), SystemClock(), stop) as writers:
            work = asyncio.gather(*(writer.run(stop) for writer in writers))
            try:
                yield work
            finally:
                stop.set()
                await work


def _message(said: RecordA | str, timestamp_ms: int) -> Message:
    if isinstance(said, str):
        return Message(said.encode(), None, timestamp_ms)
    return Message(said.id.encode(), msgspec.json.encode(said), timestamp_ms)


@pytest.fixture(autouse=True)
def _of_equal_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries of strangers give way to all others; here that would be to other tests, for who knows how long."""
    monkeypatch.setattr("lake.jobs.runner._STEPS_BACK", False)


@dataclass
class History:
    """A stream's log in memory, beside the table that it is written into."""

    lake: Any
    partitions: dict[int, list[Logged]] = field(default_factory=lambda: {0: [], 1: [], 2: []})
    written: dict[int, int] = field(default_factory=dict)
    now_ms: int = 20_000 * DAY_MS

    def __post_init__(self) -> None:
        self.table = LogTable(self.lake.catalog, Stream.B)
        self.table.prepare()
        self.latest = LatestTables(self.lake.catalog, ENGINE, 20)
        self.latest.prepare()

    def say(self, record_id: str, **fields: Any) -> None:
        """A version of an id, in the partition that is its."""
        known = {"id": record_id, "a_id": "p", "number": 1.0, "text": "", "event_time": 5, "ingested_at": 7}
        self._log(record_id, msgspec.json.encode(RecordB(**{**known, **fields})))

    def erase(self, record_id: str) -> None:
        self._log(record_id, None)

    def _log(self, record_id: str, value: bytes | None) -> None:
        entries = self.partitions[sum(record_id.encode()) % 3]
        entries.append(Logged(len(entries), record_id.encode(), value, self.now_ms))

    def write(self) -> None:
        """Commit what is not in the table yet."""
        believed = dict(self.table.positions())
        news = {p: entries[believed.get(p, 0) :] for p, entries in self.partitions.items()}
        batches = [read(Stream.B, p, entries).batch for p, entries in news.items() if entries]
        if batches:
            then = {p: len(entries) for p, entries in self.partitions.items() if entries}
            self.table.append(batches, believed, then)

    def expected(self) -> dict[str, tuple[Any, ...]]:
        """What `documents` makes of the same log."""
        found = {}
        for entries in self.partitions.values():
            for upsert in fold(Stream.B, entries).upserts.values():
                record = upsert.record
                found[record.id] = (record.text, record.number, version_of(record), upsert.first_seen)
        return found

    def seen(self, view: str, snapshots: Any = None) -> dict[str, tuple[Any, ...]]:
        """What a view says."""
        pinned = pin(self.lake.catalog, Stream.B, snapshots)
        columns = "epoch_ms(event_time), epoch_us(ingested_at), content_hash, epoch_ms(first_seen)"
        query = views({Stream.B: pinned})[view]
        rows = ENGINE.rows(f"SELECT unique_identifier, text, number, {columns} FROM ({query})")
        found = {row[0]: (row[1], row[2], row[3:6], row[6]) for row in rows}
        assert len(found) == len(rows)  # each id once
        return found

    def compact(self, **after: int) -> Any:
        clock = ManualClock(self.now_ms)
        clock.advance(ms=after.get("hours", 0) * HOUR_MS)
        return LogCompaction(self.lake.catalog, ENGINE, Stream.B, clock, 2).run()

    def expire(self, table: str, keep: Keep = AT_ONCE, ahead_ms: int = 1_000) -> Any:
        clock = ManualClock(SystemClock().now_ms() + ahead_ms)
        return Expiry(self.lake.catalog, table, clock, keep).run()


@pytest.fixture
def record() -> Callable[..., RecordA]:
    """A record of which only what is said matters."""

    def record(stream: Stream, record_id: str, **fields: Any) -> RecordA:
        parent = {"a_id": "p"} if stream is Stream.B else {}
        known = {"id": record_id, "number": 1.0, "text": f"text of {record_id}", "event_time": DAY_MS, "ingested_at": 1}
        return RECORD[stream](**{**known, **parent, **fields})

    return record


@pytest.fixture
def lake(tmp_path: Path) -> Tables:
    settings = LakeSettings(
        lake_catalog_uri=f"sqlite:///{tmp_path}/catalog.db", lake_warehouse=str(tmp_path / "warehouse")
    )
    return Tables(settings, Catalog(settings))


@pytest_asyncio.fixture
async def feed(fresh_kafka: KafkaSettings, lake: Tables) -> AsyncIterator[Feed]:
    """Writers commit after a moment."""
    producer = Producer(fresh_kafka)
    await producer.start()
    where = {**fresh_kafka.model_dump(), **lake.settings.model_dump()}
    yield Feed(WriterSettings(**where, lake_commit_seconds=0.3), producer)
    await producer.stop()


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Wait for what comes true sooner or later; it is asked in a thread, for it blocks."""

    async def eventually(condition: Callable[[], object], within_s: float = 60.0) -> None:
        async with asyncio.timeout(within_s):
            while not await asyncio.to_thread(condition):
                await asyncio.sleep(0.05)

    return eventually


@pytest.fixture
def history(lake) -> History:
    return History(lake)
