"""Documents are filled anew from the log, while the old ones serve and records come, and take their place."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from common.clock import ManualClock, SystemClock
from common.contracts import RECORDS, RecordA, Stream
from common.errors import CannotStart, Refused, Reposition
from common.kafka.batch_loop import BatchLoop
from common.kafka.batches import Batch, Logged, Partition
from common.kafka.producer import Message
from common.kafka.replay import Replay
from documents import comparison
from documents.generations import LEASE_MS, Generations
from documents.rebuild import Rebuild
from query_api.settings import QueryApiSettings
from query_api.store import Store

NOW_MS = SystemClock().now_ms()
PARTITIONS = 3
ALONE = {"event_time": {"$exists": True}}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_MS)


@pytest_asyncio.fixture
async def replay(fresh_kafka) -> AsyncIterator[Replay]:
    replay = Replay(fresh_kafka)
    await replay.start()
    yield replay
    await replay.stop()


@pytest.fixture
def rebuild(store, replay, clock) -> Rebuild:
    """Of stream A; what a switch takes out of service it keeps for a moment, and it switches whatever is missing."""
    return Rebuild(store, Stream.A, PARTITIONS, replay=replay, clock=clock, kept_s=0.2, missing_percent=100)


@pytest_asyncio.fixture
async def send(producer) -> Callable[..., Awaitable[dict[Partition, int]]]:
    """Writes records of A, or tombstones, into the log; returns where its partitions end."""

    async def send(*ids: str, text: str | None = "t", at_ms: int = NOW_MS) -> dict[Partition, int]:
        values = [None if text is None else record(id_, text, at_ms) for id_ in ids]
        # Written now, whenever it happened: Kafka's own retention would take what is older, at a moment of its choice.
        messages = [Message(id_.encode(), value, NOW_MS) for id_, value in zip(ids, values, strict=True)]
        written = await producer.publish(RECORDS[Stream.A], messages)
        return {Partition(*where): offset + 1 for where, offset in written.items()}

    return send


def record(id_: str, text: str, at_ms: int) -> bytes:
    return msgspec.json.encode(RecordA(id=id_, number=1.0, text=text, event_time=at_ms, ingested_at=at_ms * 1000))


@asynccontextmanager
async def working(fresh_kafka, worker) -> AsyncIterator[None]:
    """The loop around the worker, as a process runs it."""
    loop = BatchLoop(fresh_kafka, group="documents", topics=[RECORDS[Stream.A]], handler=worker, max_records=500)
    stop = asyncio.Event()
    running = asyncio.create_task(loop.run(stop))
    try:
        yield
    finally:
        stop.set()
        await running


@pytest_asyncio.fixture
async def at_work(fresh_kafka, worker) -> AsyncIterator[None]:
    async with working(fresh_kafka, worker):
        yield


@pytest.fixture
def taken_in(worker, eventually) -> Callable[[dict[Partition, int]], Awaitable[None]]:
    async def taken_in(ends: dict[Partition, int]) -> None:
        async def past() -> bool:
            positions = await worker.positions(ends)
            return all(positions.get(partition, 0) >= end for partition, end in ends.items())

        await eventually(past)

    return taken_in


async def texts(database: Any, name: str) -> dict[str, str]:
    return {one["_id"]: one["text"] async for one in database[name].find(ALONE)}


@pytest.mark.usefixtures("at_work")
async def test_what_drifted_is_told_and_made_good(rebuild, database, send, taken_in, store) -> None:
    """A record that was lost, one that was changed, one that no log knows; the collection that served is gone."""
    await taken_in(await send(*(f"x{n}" for n in range(300))))
    await taken_in(await send("x7", text=None))
    await database.a.delete_one({"_id": "x1"})
    await database.a.update_one({"_id": "x2"}, {"$set": {"text": "changed"}})
    await database.a.insert_one({**(await database.a.find_one({"_id": "x3"})), "_id": "phantom"})
    compared = await rebuild.run(asyncio.Event())
    assert (compared.old, compared.new) == (299, 299)
    assert (compared.missing.named, compared.different.named) == (["phantom"], ["x2"])
    assert await store.generations() == {Stream.A: 1, Stream.B: 0}
    assert await texts(database, "a.r1") == {f"x{n}": "t" for n in range(300) if n != 7}
    assert "a" not in await database.list_collection_names()


@pytest.mark.usefixtures("at_work")
async def test_new_documents_that_lack_too_many_do_not_take_over(  # noqa: PLR0917  # fixtures
    rebuild, database, send, taken_in, store, monkeypatch
) -> None:
    """However many they are, all are counted; the old ones stay in force and no trace is left, until it is forced."""
    monkeypatch.setattr(comparison, "_SUSPECTS", 100)
    monkeypatch.setattr(comparison, "_AGAIN_AFTER_S", 0.01)
    await taken_in(await send(*(f"x{n}" for n in range(100))))
    known = await database.a.find_one({"_id": "x3"})
    await database.a.insert_many([{**known, "_id": f"phantom{n:03}"} for n in range(300)])
    rebuild._missing_percent = 74.9
    told = r"too_many_missing: 300 of 400 documents of stream A \(75 %\) .* such as 'phantom\d+', .*; 74.9 % may be"
    with pytest.raises(Refused, match=told):
        await rebuild.run(asyncio.Event())
    assert await store.generations() == {Stream.A: 0, Stream.B: 0}
    assert "a.r1" not in await database.list_collection_names()
    await taken_in(await send("later"))
    assert len(await texts(database, "a")) == 401
    rebuild._missing_percent = 75
    compared = await rebuild.run(asyncio.Event())
    assert (compared.old, compared.new, compared.missing.count, len(compared.missing.named)) == (401, 101, 300, 100)
    assert set(await texts(database, "a.r1")) == {"later", *(f"x{n}" for n in range(100))}


@pytest.mark.usefixtures("at_work")
async def test_readers_see_no_gap_and_what_comes_meanwhile_is_in_it(  # noqa: PLR0917  # fixtures
    rebuild, fresh_mongo, send, taken_in, database, monkeypatch
) -> None:
    """Somebody reads all the time, somebody writes; whatever was visible once stays so, twice over a switch."""
    await taken_in(await send(*(f"old{n}" for n in range(100))))
    settings = QueryApiSettings(**fresh_mongo.model_dump(exclude_unset=True), secret=secrets.token_hex(32))
    reader, over, visible = Store(settings), asyncio.Event(), [f"old{n}" for n in range(0, 100, 9)]
    watching = asyncio.create_task(reader.watch())
    monkeypatch.setattr("query_api.store._WATCH_EVERY_S", 0.1)
    rebuild._kept_s = 1.5  # readers learn of a switch within far less

    async def write() -> None:
        number = 0
        while not over.is_set():
            await taken_in(await send(f"new{number}"))
            visible.append(f"new{number}")
            number += 1

    async def read() -> int:
        rounds = 0
        while not over.is_set():
            wanted = visible[-60:] + visible[:12]
            assert set(wanted) - set(await reader.find(Stream.A, wanted)) == set()
            rounds += 1
        return rounds

    tasks = [asyncio.create_task(one()) for one in (write, read)]
    for _ in range(2):
        compared = await rebuild.run(asyncio.Event())
        assert (compared.missing.count, compared.different.count) == (0, 0)
    over.set()
    _, rounds = await asyncio.gather(*tasks)
    assert rounds > 20
    assert set(visible) <= set(await texts(database, "a.r2"))
    watching.cancel()
    await reader.close()


@pytest.mark.usefixtures("at_work")
async def test_one_that_was_killed_goes_on_from_where_it_was(  # noqa: PLR0917  # fixtures
    rebuild, store, replay, clock, send, taken_in, database
) -> None:
    """Records that came in between are in it all the same."""
    await taken_in(await send(*(f"x{n}" for n in range(600))))
    running = asyncio.create_task(rebuild.run(asyncio.Event()))
    async with asyncio.timeout(60):
        while not (await database.generations.find_one({"_id": "a"}) or {}).get("filled"):
            await asyncio.sleep(0.005)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    done = (await database.generations.find_one({"_id": "a"}))["filled"]["0"]
    left = {"lease_until": NOW_MS + LEASE_MS}  # what is killed gives nothing back
    await database.generations.update_one({"_id": "a"}, {"$set": left})
    with pytest.raises(CannotStart):
        await rebuild.run(asyncio.Event())
    await taken_in(await send("late", *(f"x{n}" for n in range(9)), text="newer", at_ms=NOW_MS + 1))
    clock.advance(ms=LEASE_MS)
    again = Rebuild(store, Stream.A, PARTITIONS, replay=replay, clock=clock, kept_s=0.2)
    read: dict[int, int] = {}  # from where on, by partition
    ordinary = replay.read

    async def remembered(partition: Partition, start: int, max_records: int) -> Any:
        read.setdefault(partition.number, start)
        return await ordinary(partition, start, max_records)

    replay.read = remembered
    compared = await again.run(asyncio.Event())
    assert (compared.new, compared.missing.count, compared.different.count) == (601, 0, 0)
    assert read.keys() >= {1, 2}
    assert read.get(0, done) >= done  # what came since is brought again, what was filled is not
    assert (await texts(database, "a.r1"))["x8"] == "newer"


@pytest.mark.usefixtures("at_work")
async def test_one_that_is_stopped_leaves_no_trace(rebuild, database, send, taken_in, store) -> None:
    """The old documents stay in force, and are written alone."""
    ends = await send("x", "y", "z")
    await taken_in(ends)
    stop = asyncio.Event()
    stop.set()
    assert await rebuild.run(stop) is None
    assert "a.r1" not in await database.list_collection_names()
    assert await store.generations() == {Stream.A: 0, Stream.B: 0}
    await store.positions(ends)
    assert {tuple((await store.writing(partition)).generations) for partition in ends} == {(0,)}
    assert (await database.generations.find_one({"_id": "a"})).keys() == {"_id", "number", "owner", "lease_until"}


async def test_of_two_at_once_one_runs(rebuild, store, clock) -> None:
    """The other says so."""
    claim = await Generations(store, Stream.A, PARTITIONS, clock).claim()
    assert (claim.number, claim.next, claim.is_resumed) == (0, 1, False)
    with pytest.raises(CannotStart, match="Another rebuild"):
        await rebuild.run(asyncio.Event())


async def test_no_batch_passes_that_was_not_written_into_both(worker, store, clock, database) -> None:
    """A worker that had its batch in hand when the rebuild began writes it again."""
    partition = Partition(RECORDS[Stream.A], 0)
    await worker.apply(Batch(partition, 0, [a_message(0, "x")]))
    generations = Generations(store, Stream.A, PARTITIONS, clock)
    claim = await generations.claim()
    await generations.begin(claim)
    assert await generations.tell(claim) == [1, 0, 0]
    with pytest.raises(Reposition):
        await worker.apply(Batch(partition, 1, [a_message(1, "y")]))
    assert await worker.positions([partition]) == {partition: 1}
    await worker.apply(Batch(partition, 1, [a_message(1, "y")]))
    assert set(await texts(database, "a.r1")) == {"y"}
    assert set(await texts(database, "a")) == {"x", "y"}


async def test_what_retention_took_from_the_log_is_carried_over(  # noqa: PLR0917  # fixtures
    rebuild, fresh_kafka, send, taken_in, database, worker
) -> None:
    """Whole records, and when ids were first seen; not what was erased, nor what the log would have."""
    async with working(fresh_kafka, worker):
        await taken_in(await send("old", "erased", "again", at_ms=NOW_MS - 100 * 86_400_000))
        await taken_in(await send("erased", text=None))
        ends = await send(*(f"cut{n}" for n in range(40)), at_ms=NOW_MS - 90 * 86_400_000)
        await taken_in(ends)
        await cut(fresh_kafka, ends)
        await taken_in(await send("again", *(f"new{n}" for n in range(40)), text="new"))
        known = await database.a.find_one({"_id": "new1"})
        await database.a.insert_one({**known, "_id": "phantom", "ingested_at": (NOW_MS + 2 * 86_400_000) * 1000})
        compared = await rebuild.run(asyncio.Event())
    assert compared.missing.named == ["phantom"]
    new = {one["_id"]: one async for one in database["a.r1"].find(ALONE)}
    assert set(new) == {"old", "again", *(f"{name}{n}" for name in ("cut", "new") for n in range(40))}
    assert (new["again"]["text"], new["again"]["first_seen"]) == ("new", NOW_MS - 100 * 86_400_000)


async def cut(fresh_kafka, ends: dict[Partition, int]) -> None:
    """Take from the log what stands before `ends`, as retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=fresh_kafka.kafka_bootstrap)
    await admin.start()
    try:
        places = {
            TopicPartition(fresh_kafka.topic_prefix + partition.topic, partition.number): RecordsToDelete(end)
            for partition, end in ends.items()
        }
        await admin.delete_records(places)
    finally:
        await admin.close()


class Entry:
    """A message of the log that says a record of A."""

    def __init__(self, offset: int, id_: str) -> None:
        self.offset, self.timestamp, self.headers = offset, NOW_MS, ()
        self.key, self.value = id_.encode(), record(id_, "t", NOW_MS)


def a_message(offset: int, id_: str) -> Logged:
    """What the log holds of a record of A."""
    return Logged(offset, id_.encode(), record(id_, "t", NOW_MS), NOW_MS)
