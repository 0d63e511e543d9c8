"""The lake beside log, documents and windows: what they must say alike, and what it cannot be blamed for."""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow as pa
import pytest_asyncio
from pydantic import SecretStr
from pymongo import AsyncMongoClient

from aggregates.changes import read as read_changes
from aggregates.store import WindowStore
from aggregates.stream_windows import StreamWindows
from auditing.report import Compared
from common.clock import SystemClock
from common.contracts import RECORDS, Collections, Stream, position_id
from common.kafka.batches import Batch, Entry, Partition
from common.kafka.replay import Replay
from documents.versions import fold
from lake.audit.wiring import Parts, audit_stream
from lake.maintenance.compaction import LogCompaction
from lake.maintenance.latest import LatestTables
from lake.settings import AuditSettings
from lake.writer.log_table import LogTable
from lake.writer.rows import read
from twinstream_lake.engine import Engine
from twinstream_lake.layout import POSITIONS
from windows.connection import Connection
from windows.counts import Counts
from windows.layout import EVENTS, HOUR_MS, Generation, Layout, Pane, generation_key

TOPIC = RECORDS[Stream.B]
AWAY = SecretStr("mongodb://127.0.0.1:1/")


@dataclass
class World:
    """What is sent comes into log, table, documents and windows, or into some of them."""

    lake: Any
    feed: Any
    settings: AuditSettings
    database: Any
    connection: Connection
    replay: Replay
    entries: dict[int, list[Entry]] = field(default_factory=lambda: {0: [], 1: [], 2: []})

    async def prepare(self) -> None:
        self.table = LogTable(self.lake.catalog, Stream.B)
        self.table.prepare()
        self.latest = LatestTables(self.lake.catalog, Engine(128), 1_000)
        self.latest.prepare()
        self.layout = Layout(
            self.settings.redis_prefix, Stream.B, Generation(shards=2, partitions=3, horizon_ms=24 * HOUR_MS)
        )
        key = generation_key(self.layout.prefix, Stream.B)
        await self.connection.pipelined([("SET", key, msgspec.json.encode(self.layout.generation))])
        self.windows = StreamWindows(WindowStore(self.connection, self.layout), Stream.B, SystemClock())

    async def send(self, *said: Any, into: str = "lake documents windows") -> None:
        """Into the log, and into those that are named."""
        await self.feed.send(Stream.B, said)
        for number, entries in self.entries.items():
            partition = Partition(TOPIC, number)
            _, end = await self.replay.bounds(partition)
            while len(entries) < end:
                entries.extend(await self.replay.read(partition, len(entries), 1_000))
        if "lake" in into:
            self.write()
        if "documents" in into:
            await self.store()
        if "windows" in into:
            await self.count()

    def write(self) -> None:
        believed = dict(self.table.positions())
        batches = [read(Stream.B, p, some[believed.get(p, 0) :]).batch for p, some in self.entries.items() if some]
        self.table.append(batches, believed, {p: len(some) for p, some in self.entries.items() if some})

    async def store(self) -> None:
        documents, positions = self.database[Collections.of(Stream.B)], self.database[Collections.POSITIONS]
        await documents.delete_many({})
        for number, entries in self.entries.items():
            for upsert in fold(Stream.B, entries).upserts.values():
                known = msgspec.to_builtins(upsert.record)
                known |= {"_id": known.pop("unique_identifier"), "a_id": known.pop("Stream_A_unique_identifier")}
                known |= {"content_hash": upsert.version.content_hash, "first_seen": upsert.first_seen}
                await documents.insert_one(known)
            at = {"_id": position_id(TOPIC, number)}
            await positions.replace_one(at, at | {"offset": len(entries)}, upsert=True)

    async def count(self) -> None:
        for number, position in (await self.windows.positions(range(3))).items():
            await self.windows.go_live(number, position)
            if news := self.entries[number][position:]:
                await self.windows.apply(
                    Batch(Partition(TOPIC, number), position, news), read_changes(Stream.B, news)[0]
                )

    async def audit(self) -> dict[str, Compared]:
        counts = Counts(self.connection, self.layout.prefix, SystemClock())
        parts = Parts(self.lake.catalog, Engine(256), self.replay, counts)
        found = await audit_stream(self.settings, Stream.B, parts)
        return {one.between.removeprefix("lake and "): one for one in found}


@pytest_asyncio.fixture
async def world(lake, feed, fresh_mongo, fresh_redis, record) -> AsyncIterator[World]:
    """Sixty B of ten hours, some of them newer versions of others, one of them erased; half of them in the latest."""
    where = {**feed.settings.model_dump(), **fresh_mongo.model_dump(), **fresh_redis.model_dump()}
    settings = AuditSettings(**where, lake_audit_patience_seconds=0.0)
    connection, replay = Connection(settings), Replay(settings)
    await replay.start()
    async with AsyncMongoClient[dict[str, Any]](fresh_mongo.mongo_uri.get_secret_value()) as client:
        world = World(lake, feed, settings, client[fresh_mongo.mongo_database], connection, replay)
        await world.prepare()
        hour_ms = SystemClock().now_ms() // HOUR_MS * HOUR_MS
        made = [record(Stream.B, f"b-{n % 50:02}", event_time=hour_ms - n % 10 * HOUR_MS - n - 1) for n in range(60)]
        await world.send(*made[:30])
        world.latest.rebuild(Stream.B)
        await world.send(*made[30:], "b-49")
        yield world
    await replay.stop()
    await connection.close()


async def test_what_agrees_is_no_drift(world, record) -> None:
    """Neither what the others know beyond the lake's state, nor what compaction has dropped since a tombstone."""
    found = await world.audit()
    assert {name: (dict(one.drift), one.left_out) for name, one in found.items()} == dict.fromkeys(
        ("log", "documents", "windows"), ({}, None)
    )
    assert (found["log"].looked_at, found["documents"].looked_at, found["windows"].looked_at) == (61, 49, 2 * 24 - 2)
    hour_ms = SystemClock().now_ms() // HOUR_MS * HOUR_MS
    await world.send(record(Stream.B, "b-07", event_time=hour_ms - 1, ingested_at=9), "b-08", into="documents windows")
    assert not any(one.drift or one.left_out for one in (await world.audit()).values())
    world.write()
    LogCompaction(world.lake.catalog, Engine(128), Stream.B, SystemClock(), 1).run()
    assert world.lake.count() < 63
    assert not any(one.drift or one.left_out for one in (await world.audit()).values())


async def spoil_documents(world: World) -> None:
    of = world.database[Collections.of(Stream.B)]
    await of.insert_one({**(await of.find_one({"_id": "b-12"})), "_id": "b-12+"})
    await of.update_one({"_id": "b-13"}, {"$set": {"number": 7.0}})
    await of.delete_one({"_id": "b-14"})


def spoil_rows(world: World) -> None:
    """One is lost, one is changed, one is there twice."""
    table = world.lake.catalog.load("b_log")
    kept = {POSITIONS: table.properties[POSITIONS]}
    table.delete("kafka_partition = 1 and kafka_offset = 2", snapshot_properties=kept)
    place = "kafka_partition = 1 and kafka_offset = 3"
    row = table.scan(place).to_arrow()
    column = row.schema.get_field_index("text")
    changed = row.set_column(column, row.schema.field(column), pa.array(["another"], row.schema.field(column).type))
    table.overwrite(changed, overwrite_filter=place, snapshot_properties=kept)
    doubled = pa.Table.from_batches([read(Stream.B, 0, world.entries[0][:1]).batch])
    table.append(doubled, snapshot_properties=kept)


async def spoil_windows(world: World) -> None:
    """An item less in one hour, an event more in another."""
    shard, hour = world.layout.base(world.layout.shard_of("b-33")), SystemClock().now_ms() // HOUR_MS - 7
    await world.connection.pipelined(
        [
            ("ZREM", f"{shard}:all", "b-33"),
            ("HINCRBY", world.layout.base(0) + EVENTS, Pane.hour(hour), 5),
            ("HINCRBY", world.layout.base(0) + EVENTS, Pane.minute(hour * 60), 5),
        ]
    )


async def test_what_disagrees_is_told(world) -> None:
    """Whichever of the four is wrong: where, and how."""
    await spoil_documents(world)
    await spoil_windows(world)
    found = await world.audit()
    assert dict(found["documents"].drift) == {
        "b-12+": "the lake does not have it",
        "b-13": "number: others than in its document",
        "b-14": "the documents do not have it",
    }
    assert sorted((what.partition(" ")[0], says) for what, says in found["windows"].drift.items()) == [
        ("events", "the windows count 11, the lake has 6"),
        ("items", "the windows count 4, the lake has 5"),
    ]
    assert dict(found["log"].drift) == {}
    spoil_rows(world)
    assert dict((await world.audit())["log"].drift) == {
        "partition 0": "1 messages are in the table more than once",
        "records.b/1/2": "the lake has no such row",
        "records.b/1/3": "text: others than in the log",
    }


async def test_stretches_by_chance_are_compared_whole(world) -> None:
    """With fewer ids to look at than there are, and all of a stretch, on either side."""
    world.settings = world.settings.model_copy(update={"lake_audit_ids": 20})
    found = (await world.audit())["documents"]
    assert (0 < found.looked_at <= 20, dict(found.drift)) == (True, {})
    await world.database[Collections.of(Stream.B)].update_many({}, {"$set": {"text": "another"}})
    found = (await world.audit())["documents"]
    assert len(found.drift) == found.looked_at > 0


async def test_a_store_that_lags_or_is_away_is_left_out_and_that_is_said(world) -> None:
    at = random.Random(1).choice([number for number, entries in world.entries.items() if entries])
    positions = world.database[Collections.POSITIONS]
    await positions.update_one({"_id": position_id(TOPIC, at)}, {"$inc": {"offset": -1}})
    found = await world.audit()
    assert found["documents"].left_out == "1 messages that the lake has were not in it after 0 seconds"
    assert (found["documents"].looked_at, found["windows"].left_out) == (0, None)
    world.settings = world.settings.model_copy(update={"mongo_timeout_ms": 200, "mongo_uri": AWAY})
    assert "MongoDB did not take part" in str((await world.audit())["documents"].left_out)
