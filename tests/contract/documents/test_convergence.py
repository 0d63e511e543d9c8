"""The claim on which everything stands: whatever happens on the way, the documents end as the log says.

Histories are generated: few ids, few moments, so that versions tie, repeat and arrive out of order; tombstones and
garbage among them. They are applied in any cut, by workers that are overtaken and to a server that forgets how far it
was; then once more through the real Kafka and the real loop.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from common.contracts import RECORDS, RecordB, Stream, position_id, version_of
from common.errors import Reposition
from common.kafka.batch_loop import BatchLoop
from common.kafka.batches import Batch, Logged, Partition
from common.kafka.producer import Message, Producer
from common.settings import KafkaSettings
from documents.worker import Worker

TOPIC = RECORDS[Stream.B]
PARTITION = Partition(TOPIC, 0)


@dataclass(frozen=True)
class Step:
    """What happens next: up to `records` messages are applied, and afterwards..."""

    records: int
    overtaken: bool  # ...the position is found to be another: written, but not moved
    forgets: int | None  # ...the server comes back without the last so many messages' position
    late: int | None = None  # ...a worker that stood still writes what lies so far back once more


def model(history: Sequence[Logged]) -> dict[str, dict[str, Any]]:
    """The documents that a history means, by id."""
    documents: dict[str, dict[str, Any]] = {}
    for entry in history:
        record_id = entry.key.decode()
        if entry.value is None:
            documents.pop(record_id, None)
            continue
        try:
            record = msgspec.json.decode(entry.value, type=RecordB)
        except msgspec.MsgspecError:
            continue
        version = version_of(record)
        document = {"_id": record.id, "a_id": record.a_id, "number": record.number, "text": record.text}
        document |= version._asdict()
        known = documents.get(record_id, document | {"first_seen": record.event_time})
        newest = document if version > tuple(known[name] for name in version._fields) else known
        documents[record_id] = newest | {"first_seen": min(known["first_seen"], record.event_time)}
    return documents


ids = st.sampled_from(["x", "y", "$z"])
records = st.builds(
    RecordB,
    id=ids,
    a_id=st.sampled_from(["a", "$b"]),
    number=st.sampled_from([0.0, -1.5]),
    text=st.sampled_from(["", "t", "$text"]),
    event_time=st.integers(0, 3),
    ingested_at=st.integers(0, 1),
)
messages = st.one_of(
    records.map(lambda record: Logged(0, record.id.encode(), msgspec.json.encode(record))),
    records.map(lambda record: Logged(0, record.id.encode(), msgspec.json.encode(record))),
    records.map(lambda record: Logged(0, record.id.encode(), msgspec.json.encode(record))),
    ids.map(lambda record_id: Logged(0, record_id.encode(), None)),
    ids.map(lambda record_id: Logged(0, record_id.encode(), b"{")),
)


def at_offsets(history: list[Logged]) -> list[Logged]:
    return [entry._replace(offset=offset) for offset, entry in enumerate(history)]


# Hypothesis prefers what is small; two versions of one id that meet in the store need a few messages and cuts.
histories = st.lists(messages, min_size=12, max_size=24).map(at_offsets)
steps = st.builds(
    Step,
    records=st.integers(1, 5),
    overtaken=st.sampled_from([False, False, True]),
    forgets=st.sampled_from([None, None, 1, 5, 20]),
    late=st.sampled_from([None, None, 0, 3, 9]),
)


UNHURRIED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=20, suppress_health_check=UNHURRIED)
@given(history=histories, happenings=st.lists(steps, min_size=4, max_size=8))
async def test_documents_end_as_the_history_says(worker, database, history, happenings) -> None:
    """Cuts, redeliveries, overtaken workers, late ones and a forgetful server change nothing of the end."""
    await database.b.delete_many({})
    await database.positions.delete_many({})
    for step in happenings:
        await apply(worker, database, history, step)
    while await apply(worker, database, history, Step(4, overtaken=False, forgets=None)):
        pass
    assert await stored(database) == model(history)


async def apply(worker: Worker, database: Any, history: Sequence[Logged], step: Step) -> bool:
    """Go on from where the store stands, as the loop does; returns whether there was anything left."""
    position = (await worker.positions([PARTITION])).get(PARTITION, 0)
    entries = history[position : position + step.records]
    if not entries:
        return False
    if step.overtaken:
        await set_position(database, PARTITION, 1_000_000)
    try:
        await worker.apply(Batch(PARTITION, position, entries))
    except Reposition:
        assert step.overtaken
        await set_position(database, PARTITION, position)
    if step.late is not None:
        start = max(0, position - step.late)
        with pytest.raises(Reposition):
            await worker.apply(Batch(PARTITION, 1_000_000, history[start : start + step.records]))
    if step.forgets is not None:
        await set_position(database, PARTITION, max(0, position - step.forgets))
    return True


async def set_position(database: Any, partition: Partition, offset: int) -> None:
    where = {"_id": position_id(*partition)}
    if offset:
        await database.positions.update_one(where, {"$set": {"offset": offset}}, upsert=True)
    else:
        await database.positions.delete_one(where)


async def stored(database: Any, prefix: str = "") -> dict[str, dict[str, Any]]:
    """The documents whose ids begin with `prefix`, by what follows it."""
    where = {"_id": {"$gte": prefix, "$lt": prefix + "\U0010ffff"}, "event_time": {"$exists": True}}
    documents = await database.b.find(where, {"erased_through": 0}).to_list()
    return {id_: one | {"_id": id_} for one in documents if (id_ := one["_id"].removeprefix(prefix)) is not None}


class Member:
    """The loop around the worker, as a process runs it: to be stopped and started again."""

    def __init__(self, kafka: KafkaSettings, worker: Worker) -> None:
        self._kafka = kafka
        self._worker = worker
        self._stop = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self, max_records: int) -> None:
        loop = BatchLoop(self._kafka, group="documents", topics=[TOPIC], handler=self._worker, max_records=max_records)
        self._stop.clear()
        self._running = asyncio.create_task(loop.run(self._stop))

    async def stop(self) -> None:
        self._stop.set()
        if self._running is not None:
            await self._running


@pytest_asyncio.fixture
async def member(fresh_kafka: KafkaSettings, worker: Worker) -> AsyncIterator[Member]:
    member = Member(fresh_kafka, worker)
    member.start(max_records=5)
    yield member
    await member.stop()


@pytest.fixture
def names() -> Callable[[], str]:
    """A prefix for the ids of each example: examples share the log."""
    numbers = iter(range(1_000_000))
    return lambda: f"{next(numbers):06}-"


@settings(max_examples=6, suppress_health_check=UNHURRIED)
@given(history=histories, restart=st.none() | st.integers(1, 7), forgets=st.sampled_from([0, 3, 12]))
async def test_so_they_do_through_kafka(  # noqa: PLR0917  # fixtures and what is generated
    worker, database, producer, member, names, eventually, history, restart, forgets
) -> None:
    """The same with the real log and the real loop, restarted with other cuts and thrown back."""
    prefix = names()
    partitions = await publish(producer, [prefixed(entry, prefix) for entry in history])

    async def caught_up() -> bool:
        return await worker.positions(partitions) == partitions

    if restart is not None:
        await member.stop()
        member.start(max_records=restart)
    await eventually(caught_up)
    for partition, end in partitions.items():
        await set_position(database, partition, max(0, end - forgets))
    await eventually(caught_up)
    assert await stored(database, prefix) == model(history)


async def publish(producer: Producer, history: Sequence[Logged]) -> dict[Partition, int]:
    """Write a history; returns where its partitions end."""
    receipt = await producer.publish(TOPIC, [Message(entry.key, entry.value, 1) for entry in history])
    return {Partition(*where): offset + 1 for where, offset in receipt.items()}


def prefixed(entry: Logged, prefix: str) -> Logged:
    value = entry.value
    if value not in (None, b"{"):
        record = msgspec.json.decode(value, type=RecordB)
        value = msgspec.json.encode(msgspec.structs.replace(record, id=prefix + record.id))
    return entry._replace(key=prefix.encode() + entry.key, value=value)
