"""Windows beside the documents: what both must say alike, and what neither can be blamed for."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient

from aggregates import audit_documents
from aggregates.audit_documents import AgainstDocuments
from aggregates.changes import read
from aggregates.revisions import choose
from aggregates.store import WindowStore
from aggregates.stream_windows import StreamWindows
from auditing.documents import Documents
from common.clock import ManualClock
from common.contracts import RECORDS, Collections, Condition, RecordB, Stream, position_id, version_of
from common.errors import TryLater
from common.kafka.batches import Batch, Logged, Partition
from common.settings import MongoSettings
from windows.connection import Connection
from windows.layout import HOUR_MS, Generation, Layout, generation_key

NOW_MS = 1_795_420_800_000
TOPIC = RECORDS[Stream.B]
BIG = Condition(name="big", stream=Stream.B, expression="number > 50.0", created_at=1, changed_at=1)


def a_record(n: int, **fields: Any) -> RecordB:
    known = {
        "id": f"b-{n}",
        "a_id": f"a-{n % 3}",
        "number": float(n),
        "text": "",
        "event_time": NOW_MS - n * 60_000,
        "ingested_at": NOW_MS * 1000 - n,
    }
    return RecordB(**{**known, **fields})


class World:
    """A hundred B, in windows and documents alike, and all of it counted."""

    def __init__(self, connection: Connection, settings: MongoSettings, database: Any) -> None:
        self.connection, self.settings, self.database = connection, settings, database
        self.clock = ManualClock(NOW_MS)
        self.left_out: str | None = None
        self.layout = Layout("", Stream.B, Generation(shards=2, partitions=1, horizon_ms=24 * HOUR_MS))
        self.windows = StreamWindows(WindowStore(connection, self.layout), Stream.B, self.clock)
        self.windows.revisions = choose(self.windows.revisions, control=6, newest={5: BIG}, stored={}, whole=set())

    async def fill(self) -> None:
        key = generation_key("", Stream.B)
        await self.connection.pipelined([("FLUSHALL",), ("SET", key, msgspec.json.encode(self.layout.generation))])
        entries = [Logged(n, f"b-{n}".encode(), msgspec.json.encode(a_record(n))) for n in range(100)]
        await self.windows.apply(Batch(Partition(TOPIC, 0), 0, entries), read(Stream.B, entries)[0])
        for n in range(100):
            await self.store(a_record(n))
        await self.stand(windows_ms=NOW_MS, documents=100)

    async def store(self, record: RecordB) -> None:
        """What `documents` leaves of it."""
        document = {
            "_id": record.id,
            "a_id": record.a_id,
            "number": record.number,
            "text": record.text,
            "event_time": record.event_time,
            "ingested_at": record.ingested_at,
            "content_hash": version_of(record).content_hash,
            "first_seen": record.event_time,
        }
        await self.database[Collections.of(Stream.B)].replace_one({"_id": record.id}, document, upsert=True)

    async def stand(self, *, windows_ms: int, documents: int) -> None:
        """The windows counted up to then, the documents took in as much."""
        await self.windows.store.tell({0: windows_ms})
        at = {"_id": position_id(TOPIC, 0)}
        await self.database[Collections.POSITIONS].replace_one(at, at | {"offset": documents}, upsert=True)

    async def audit(self) -> dict[str, str]:
        audit = AgainstDocuments(self.connection, self.layout, self.clock)
        async with Documents(self.settings, Stream.B, "test") as documents:
            result = await audit.run(documents, [f"b-{n}" for n in range(0, 100, 10)], self.windows.revisions)
        self.left_out = result.left_out
        assert result.ids >= 59  # with those of the same A
        return dict(result.drift)


@pytest_asyncio.fixture
async def world(valkey: Any, fresh_mongo: MongoSettings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(audit_documents, "_AGAIN_AFTER_S", 0.0)
    connection = Connection(valkey.settings)
    async with AsyncMongoClient[dict[str, Any]](fresh_mongo.mongo_uri.get_secret_value()) as client:
        world = World(connection, fresh_mongo, client[fresh_mongo.mongo_database])
        await world.fill()
        yield world
    await connection.close()


async def test_what_agrees_is_no_drift(world: World) -> None:
    """A document that is older, or that was erased, accuses nobody either."""
    assert await world.audit() == {}
    await world.store(a_record(10, event_time=NOW_MS - 20 * HOUR_MS))
    of_b = world.database[Collections.of(Stream.B)]
    await of_b.replace_one({"_id": "b-20"}, {"_id": "b-20", "erased_through": 7})
    assert await world.audit() == {}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"event_time": NOW_MS}, "the documents have version"),
        ({"id": "b-new", "event_time": NOW_MS}, "the windows have None"),
    ],
)
async def test_what_the_documents_know_and_the_windows_do_not(world: World, change: dict[str, Any], says: str) -> None:
    """A newer version, and an id that the windows lost: found through the A that it has."""
    record = a_record(12, **change)
    await world.store(record)
    ((wrong, fault),) = (await world.audit()).items()
    assert wrong == record.id
    assert says in fault


async def test_the_same_version_says_the_same(world: World) -> None:
    """Its parent, and the conditions that it holds."""
    of_b = world.database[Collections.of(Stream.B)]
    await of_b.update_one({"_id": "b-30"}, {"$set": {"a_id": "another"}})
    assert "b-30" in await world.audit()
    key = world.layout.base(world.layout.shard_of("b-90"))
    (head,) = await world.connection.pipelined([("HGET", f"{key}:head", "b-90")])
    without = head[:19] + b"\0\0" + head[25:]
    await world.connection.pipelined([("HSET", f"{key}:head", "b-90", without)])
    assert (await world.audit())["b-90"] == "the conditions that it holds are others"


async def test_a_store_that_lags_accuses_nobody(world: World) -> None:
    """Windows that have not come to it yet, documents that have not come to an erasure; that is said."""
    await world.store(a_record(12, event_time=NOW_MS))
    await world.stand(windows_ms=NOW_MS - 1, documents=100)
    assert (await world.audit(), world.left_out) == ({}, "the windows lag")
    await world.stand(windows_ms=NOW_MS, documents=99)
    assert (await world.audit(), world.left_out) == ({}, "the documents lag")
    await world.stand(windows_ms=NOW_MS, documents=100)
    assert list(await world.audit()) == ["b-12"]


async def test_without_documents_it_is_postponed(world: World) -> None:
    """MongoDB away is no drift."""
    world.settings = MongoSettings(mongo_uri="mongodb://127.0.0.1:1/", mongo_timeout_ms=200)
    with pytest.raises(TryLater, match="MongoDB did not take part"):
        await world.audit()
