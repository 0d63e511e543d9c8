"""What Kafka's retention took is rebuilt from the lake, documents and windows, as if nothing were gone."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from structlog.testing import capture_logs

from aggregates.generations import ensure_layout
from aggregates.rebuild import Rebuild as RebuildWindows
from aggregates.settings import AggregatesSettings
from common.clock import SystemClock
from common.contracts import RECORDS, RecordB, Stream
from common.errors import CannotStart
from common.kafka.batch_loop import BatchLoop
from common.kafka.batches import Entry, Partition
from common.kafka.control import ControlTable
from common.kafka.history import History
from common.kafka.rejections import Rejections
from common.kafka.replay import Replay
from common.settings import RebuildSettings
from documents.generations import Generations
from documents.rebuild import Rebuild
from documents.rejected_store import RejectedStore
from documents.store import DocumentStore
from documents.versions import Upsert, fold
from documents.worker import Worker
from lake.writer.log_table import LogTable
from lake.writer.rows import read
from twinstream_lake.sources import past_of
from windows.connection import Connection
from windows.counts import Counts
from windows.layout import HOUR_MS
from windows.questions import Question, Unit, Window

PARTITIONS = [Partition(RECORDS[Stream.B], number) for number in range(3)]
IDS = 60
CLOCK = SystemClock()


@dataclass(frozen=True)
class Lost:
    """A log whose beginning only the lake has; `ever` is all that it ever held."""

    feed: Any
    lake: Any
    replay: Replay
    ever: dict[Partition, list[Entry]]

    @property
    def newest(self) -> dict[str, Upsert]:
        """What documents are made of, had nothing been lost."""
        return {id_: one for entries in self.ever.values() for id_, one in fold(Stream.B, entries).upserts.items()}

    async def past(self, stack: AsyncExitStack) -> Any:
        where = RebuildSettings(**self.lake.settings.model_dump(), rebuild_from="lake")
        return await past_of(where, Stream.B, stack)


def history(messages: int, chance: random.Random) -> list[RecordB | str]:
    """Versions of few ids in any order, and erasures."""
    begin_us = CLOCK.now_us()
    return [
        f"b{chance.randrange(IDS)}"
        if chance.random() < 0.05
        else RecordB(
            id=f"b{chance.randrange(IDS)}",
            a_id=f"a{chance.randrange(5)}",
            number=chance.random(),
            text=f"no. {n}: ü",
            event_time=begin_us // 1000 - chance.randrange(HOUR_MS),
            ingested_at=begin_us + n,
        )
        for n in range(messages)
    ]


async def held(replay: Replay) -> dict[Partition, list[Entry]]:
    """What Kafka holds."""
    found: dict[Partition, list[Entry]] = {partition: [] for partition in PARTITIONS}
    for partition in PARTITIONS:
        start, end = await replay.bounds(partition)
        async with asyncio.timeout(120):
            while len(found[partition]) < end - start:
                found[partition] += await replay.read(partition, start + len(found[partition]), 10_000)
    return found


async def cut(feed: Any, ends: dict[Partition, int]) -> None:
    """Take from the log what stands before `ends`, as retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=feed.settings.kafka_bootstrap)
    await admin.start()
    try:
        places = {
            TopicPartition(feed.settings.topic_prefix + partition.topic, partition.number): RecordsToDelete(end)
            for partition, end in ends.items()
        }
        await admin.delete_records(places)
    finally:
        await admin.close()


@pytest_asyncio.fixture
async def lost(feed, lake, eventually) -> AsyncIterator[Lost]:
    """The lake took 240 messages, Kafka lost them; 60 came since."""
    chance, replay = random.Random(5), Replay(feed.settings)
    await replay.start()
    LogTable(lake.catalog, Stream.B).prepare()
    await feed.send(Stream.B, history(240, chance))
    async with feed.writing(lake_commit_rows=50):
        await eventually(lambda: lake.count() == 240, 120)
    before = await held(replay)
    await cut(feed, {partition: entries[-1].offset + 1 for partition, entries in before.items()})
    await feed.send(Stream.B, history(60, chance))
    after = await held(replay)
    yield Lost(feed, lake, replay, {partition: before[partition] + after[partition] for partition in PARTITIONS})
    await replay.stop()


@pytest_asyncio.fixture
async def store(fresh_mongo) -> AsyncIterator[DocumentStore]:
    store = DocumentStore(fresh_mongo)
    await store.prepare()
    yield store
    await store.close()


async def take_in(lost: Lost, store: DocumentStore) -> None:
    """Let the worker of documents come to the end of the log."""
    worker = Worker(store, RejectedStore(store, kept_days=30), Rejections(lost.feed.producer), CLOCK)
    loop = BatchLoop(lost.feed.settings, group="documents", topics=[RECORDS[Stream.B]], handler=worker, max_records=500)
    stop = asyncio.Event()
    running = asyncio.create_task(loop.run(stop))
    try:
        async with asyncio.timeout(120):
            while True:
                positions = await worker.positions(PARTITIONS)
                if all(positions.get(one, 0) > entries[-1].offset for one, entries in lost.ever.items()):
                    break
                await asyncio.sleep(0.05)
    finally:
        stop.set()
        await running


async def leave_behind(lost: Lost, store: DocumentStore) -> None:
    """An attempt that was killed when it had filled all that Kafka has."""
    generations = Generations(store, Stream.B, 3, CLOCK)
    claim = await generations.claim()
    await generations.begin(claim)
    await generations.tell(claim)
    for partition, entries in lost.ever.items():
        await generations.filled(partition.number, entries[-1].offset + 1)
    await generations.release()


@pytest.mark.parametrize("begun", [True, False])
async def test_documents_are_as_if_nothing_were_gone(lost, store, begun) -> None:
    """Newest versions and when ids were first seen, erased ids gone; whether or not the worker was there before.

    Nor is an attempt gone on with that read from Kafka alone: what it filled lacks what only the lake has.
    """
    if begun:
        await take_in(lost, store)
        await leave_behind(lost, store)
    async with AsyncExitStack() as stack:
        past = await lost.past(stack)
        rebuild = Rebuild(store, Stream.B, 3, replay=lost.replay, clock=CLOCK, past=past, kept_s=0.1)
        compared = await rebuild.run(asyncio.Event())
    assert compared is not None
    assert compared.missing.count == 0
    assert compared.new > compared.old
    await take_in(lost, store)
    documents = await store.documents(Stream.B, 1).find({"event_time": {"$exists": True}}).to_list()
    found = {
        one["_id"]: (one["text"], one["number"], one["a_id"], one["first_seen"], one["content_hash"])
        for one in documents
    }
    assert found == {
        id_: (one.record.text, one.record.number, one.record.a_id, one.first_seen, one.version.content_hash)
        for id_, one in lost.newest.items()
    }


async def test_windows_are_as_if_nothing_were_gone(lost, fresh_redis) -> None:
    """Items, items of one A, and events: each record that ever came."""
    feed = lost.feed.settings
    settings = AggregatesSettings(
        kafka_bootstrap=feed.kafka_bootstrap,
        topic_prefix=feed.topic_prefix,
        **fresh_redis.model_dump(exclude_unset=True),
    )
    connection, control = Connection(settings), ControlTable(settings, lost.feed.producer, CLOCK)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(connection.close)
        stack.push_async_callback(control.stop)
        await control.start()
        await ensure_layout(connection, settings, Stream.B)
        parts = {"connection": connection, "control": control, "replay": lost.replay, "clock": CLOCK}
        past = await lost.past(stack)
        await RebuildWindows(settings, Stream.B, **parts, past=past, linger_s=0.1).run(asyncio.Event())
        window = Window(CLOCK.now_ms() - 3 * HOUR_MS)
        questions = [
            Question(Stream.B, window),
            Question(Stream.B, window, a_id="a3"),
            Question(Stream.B, window, Unit.EVENTS),
        ]
        counts = (await Counts(connection, fresh_redis.redis_prefix, CLOCK).ask(questions)).counts
    newest = [one.record for one in lost.newest.values()]
    records = sum(entry.value is not None for entries in lost.ever.values() for entry in entries)
    assert counts == [len(newest), sum(one.a_id == "a3" for one in newest), records]


async def test_a_gap_that_the_writer_has_passed_is_told(lost, eventually) -> None:
    """Of what came while no writer ran nobody has anything: the lake knows from where on nothing is missing."""
    ends = {partition: entries[-1].offset + 1 for partition, entries in lost.ever.items()}
    await cut(lost.feed, ends)
    await lost.feed.send(Stream.B, history(60, random.Random(7)))
    kept = LogTable(lost.lake.catalog, Stream.B).positions()
    for _ in range(2):  # a writer that starts again leaves it as it is
        async with lost.feed.writing():
            await eventually(lambda: lost.lake.count() == 300, 120)
    async with AsyncExitStack() as stack:
        whole = History(lost.replay, await lost.past(stack))
        with capture_logs() as said:
            for partition in PARTITIONS:
                await whole.check(partition)
        begins = {partition: (await whole.begin(partition))[0] for partition in PARTITIONS}
    told = [(one["start"], one["end"]) for one in said if one["event"] == "history_has_a_gap"]
    assert told == [(kept[partition.number], end) for partition, end in ends.items()]
    assert begins == ends


async def test_the_lake_of_another_log_is_refused(lost, store) -> None:
    """It reaches further than the log does: the offsets of the two mean different messages."""
    table = LogTable(lost.lake.catalog, Stream.B)
    believed = table.positions()
    table.append([read(Stream.B, 0, []).batch], believed, {**believed, 0: 1_000})
    async with AsyncExitStack() as stack:
        past = await lost.past(stack)
        rebuild = Rebuild(store, Stream.B, 3, replay=lost.replay, clock=CLOCK, past=past)
        with pytest.raises(CannotStart, match="and the lake holds it up to 1000: it is another log"):
            await rebuild.run(asyncio.Event())
