"""A lake in a folder to throw away, fed from topics of the test's own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from common.clock import SystemClock
from common.contracts import RECORD, RECORDS, RecordA, Stream
from common.health import Health
from common.kafka.follower import Follower
from common.kafka.producer import Message, Producer
from common.settings import KafkaSettings, LakeSettings
from lake.settings import WriterSettings
from lake.writer.wiring import assembled
from twinstream_lake.catalog import Catalog

DAY_MS = 86_400_000
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
    monkeypatch.setattr("lake.jobs.runner._NICENESS", 0)


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
