"""Claims on one batch: what is stored, what is put aside, what is told, and when the position moves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import REGISTRY

from common.clock import ManualClock
from common.contracts import REJECTED, RecordA, Rejection, Stream
from common.errors import Reposition, TryLater
from common.kafka.batches import Batch, Partition
from common.kafka.producer import Producer
from common.kafka.rejections import MAX_KEPT_BYTES, Rejections, read_rejection
from common.settings import KafkaSettings
from documents.worker import Worker

PARTITION = Partition("records.a", 1)
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass(frozen=True)
class Entry:
    """A message of the log."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 0
    headers: tuple[tuple[str, bytes], ...] = (("traceparent", TRACE),)


def said(offset: int, record_id: str, text: str = "", event_time: int = 5, ingested_at: int = 0) -> Entry:
    record = RecordA(id=record_id, number=1.0, text=text, event_time=event_time, ingested_at=ingested_at)
    return Entry(offset, record_id.encode(), msgspec.json.encode(record))


def batch(*entries: Entry, position: int = 0) -> Batch:
    return Batch(PARTITION, position, entries)


@pytest.fixture
def rejected(fresh_kafka: KafkaSettings) -> Callable[[], Any]:
    """Reads everything that was put aside: by key, the bytes and the headers."""

    async def read() -> dict[str, tuple[bytes, Mapping[str, bytes]]]:
        consumer = AIOKafkaConsumer(bootstrap_servers=fresh_kafka.kafka_bootstrap, enable_auto_commit=False)
        await consumer.start()
        topic = fresh_kafka.topic_prefix + REJECTED
        found = {}
        try:
            for partition in [TopicPartition(topic, number) for number in range(3)]:
                consumer.assign([partition])
                await consumer.seek_to_beginning(partition)
                end = (await consumer.end_offsets([partition]))[partition]
                while await consumer.position(partition) < end:
                    for one in (await consumer.getmany(timeout_ms=200)).get(partition, ()):
                        found[one.key.decode()] = (one.value, dict(one.headers))
        finally:
            await consumer.stop()
        return found

    return read


async def test_a_batch_is_stored_and_the_position_moves(worker, database) -> None:
    await worker.apply(batch(said(0, "x", "one"), said(1, "y"), said(4, "x", "two", event_time=6)))
    documents = await database.a.find().sort("_id").to_list()
    assert [(one["_id"], one["text"], one["first_seen"]) for one in documents] == [("x", "two", 5), ("y", "", 5)]
    assert await worker.positions([PARTITION]) == {PARTITION: 5}


async def test_what_is_no_record_is_put_aside_and_the_rest_is_stored(worker, database, rejected) -> None:
    """One bad message stops nobody; its bytes, the reason and its trace are kept under one key."""
    await worker.apply(batch(said(7, "x"), Entry(8, b"k", b"\xff not a record"), said(9, "y"), position=0))
    found = await rejected()
    value, headers = found["records.a/1/8"]
    assert list(found) == ["records.a/1/8"]
    assert value == b"\xff not a record"
    assert headers["traceparent"] == TRACE
    assert read_rejection(list(headers.items())) == Rejection(
        code="undecodable",
        detail="It is no record of stream A: JSON is malformed: invalid character (byte 0)",
        stream="a",
        rejected_by="documents",
        rejected_at=3_600_000,
        source="records.a/1/8",
        size=14,
    )
    assert await database.a.count_documents({}) == 2
    assert await worker.positions([PARTITION]) == {PARTITION: 10}


async def test_what_is_too_long_to_keep_is_cut_and_says_so(worker, rejected) -> None:
    await worker.apply(batch(Entry(0, b"k", b"x" * (MAX_KEPT_BYTES + 1))))
    value, headers = (await rejected())["records.a/1/0"]
    reason = read_rejection(list(headers.items()))
    assert (len(value), reason.size, reason.truncated) == (MAX_KEPT_BYTES, MAX_KEPT_BYTES + 1, True)


async def test_what_the_store_refuses_is_put_aside_too(worker, database, rejected) -> None:
    """A schema that someone put on the collection refuses one record: it is not lost, and it holds nobody up."""
    await database.create_collection("a", validator={"text": {"$ne": "refuse me"}})
    refused = said(3, "x", "refuse me")
    await worker.apply(batch(refused, said(4, "y")))
    value, headers = (await rejected())["records.a/1/3"]
    reason = read_rejection(list(headers.items()))
    assert (value, reason.code) == (refused.value, "refused_by_store")
    assert "validation" in reason.detail
    assert await worker.positions([PARTITION]) == {PARTITION: 5}


async def test_the_position_waits_for_what_is_put_aside(store, fresh_kafka) -> None:
    """Were it to move first, a crash in between would lose the bad message for good."""
    producer = Producer(fresh_kafka.model_copy(update={"kafka_timeout_ms": 1000}))
    await producer.start()
    await producer.stop()
    worker = Worker(store, Rejections(producer), ManualClock(0))
    with pytest.raises(TryLater):
        await worker.apply(batch(Entry(0, b"k", b"{")))
    assert await worker.positions([PARTITION]) == {}


async def test_a_tombstone_erases_what_came_before_it_alone(worker, database) -> None:
    await worker.apply(batch(said(0, "x", event_time=1), said(1, "y")))
    await worker.apply(batch(said(2, "x", event_time=2), Entry(3, b"x", None), Entry(4, b"y", None), position=2))
    assert await database.a.count_documents({}) == 0
    await worker.apply(batch(said(5, "x", event_time=3), Entry(6, b"x", None), said(7, "x", event_time=4), position=5))
    documents = await database.a.find().to_list()
    assert [(one["_id"], one["event_time"], one["first_seen"]) for one in documents] == [("x", 4, 4)]


async def test_a_worker_that_was_overtaken_erases_nothing(worker, database) -> None:
    """Whoever went past the tombstone has stored anew what came after it."""
    late = batch(Entry(0, b"x", None))
    await worker.apply(batch(Entry(0, b"x", None), said(1, "x")))
    with pytest.raises(Reposition):
        await worker.apply(late)
    assert await database.a.count_documents({"_id": "x"}) == 1


async def test_a_worker_that_was_overtaken_is_told_so(worker) -> None:
    """Its writes did no harm; it must ask anew where to go on."""
    await worker.apply(batch(said(0, "x")))
    with pytest.raises(Reposition):
        await worker.apply(batch(said(0, "x")))


def outcomes() -> dict[str, float]:
    names = ("applied", "folded", "erased", "rejected")
    labels = {"service": "documents", "stream": Stream.A}
    return {
        name: REGISTRY.get_sample_value("twinstream_records_applied_total", {**labels, "outcome": name}) or 0
        for name in names
    }


async def test_every_message_is_counted_under_one_outcome(worker) -> None:
    """Whoever watches can add them up."""
    before = outcomes()
    await worker.apply(
        batch(said(0, "x"), said(1, "x", "new"), Entry(2, b"z", None), Entry(3, b"k", b"{"), said(4, "y"))
    )
    counted = {name: value - before[name] for name, value in outcomes().items()}
    assert counted == {"applied": 2, "folded": 1, "erased": 1, "rejected": 1}


async def test_ages_are_observed_as_an_even_sample(worker) -> None:
    """At most a hundred or so per batch, from the record's ingestion to the worker's clock."""
    labels = {"service": "documents", "stream": Stream.A}

    def observed(what: str) -> float:
        return REGISTRY.get_sample_value(f"twinstream_record_age_seconds_{what}", labels) or 0

    count, total = observed("count"), observed("sum")
    await worker.apply(batch(*(said(n, f"x{n}", ingested_at=3_599_000_000) for n in range(250))))
    assert observed("count") - count == 84
    assert observed("sum") - total == pytest.approx(84 * 1.0)
