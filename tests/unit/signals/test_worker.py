"""A batch is written before its position moves, in as many writes as its alerts need."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from common.clock import SystemClock
from common.contracts import RECORDS, RecordB, Stream
from common.errors import TryLater
from common.kafka.batches import Batch, Partition
from common.kafka.producer import Message
from matching.matcher import Matcher
from matching.rules import Rule, VersionedRule
from signals.scan.scanning import MAX_ALERT_BYTES
from signals.scan.worker import Worker

PARTITION = Partition(RECORDS[Stream.B], 0)
LONG = "refund " + "x" * 35_000


class Kafka:
    """Takes alerts and rejected records; away from the write `fails_at` on."""

    def __init__(self) -> None:
        self.writes: list[Sequence[Message]] = []
        self.fails_at: int | None = None

    async def publish(self, _topic: str, messages: Sequence[Message]) -> None:
        if self.fails_at is not None and len(self.writes) >= self.fails_at:
            raise TryLater("Kafka is away")
        self.writes.append(messages)

    async def put(self, rejected: Sequence[Any]) -> None:
        assert not rejected

    async def read(self, _: Any) -> dict[Partition, int]:
        return {}

    def ids(self) -> list[bytes | None]:
        return [message.key for write in self.writes for message in write]


@pytest.fixture
def kafka() -> Kafka:
    return Kafka()


@pytest.fixture
def lane() -> Iterator[Executor]:
    with ThreadPoolExecutor(1) as lane:
        yield lane


@pytest.fixture
def worker(kafka: Kafka, lane: Executor) -> Worker:
    rules = [Rule(name=f"rule-{n}", keywords=("refund",)) for n in range(20)]
    compiled = Matcher.compile([VersionedRule(rule, n) for n, rule in enumerate(rules)])
    in_force = SimpleNamespace(matcher=compiled, names={rule.name for rule in rules})
    log: Any = kafka
    return Worker(in_force, producer=log, rejections=log, committed=log, lane=lane, clock=SystemClock())  # type: ignore[arg-type]  # no more of it is asked for


def a_batch(records: int, text: str) -> Batch:
    entries = []
    for n in range(records):
        record = RecordB(id=f"b-{n}", a_id="a", number=1.0, text=text, event_time=5, ingested_at=7)
        value = msgspec.json.encode(record)
        entries.append(SimpleNamespace(offset=n, key=record.id.encode(), value=value, timestamp=0, headers=()))
    return Batch(PARTITION, 0, entries)


async def test_usual_alerts_are_written_at_once(kafka: Kafka, worker: Worker) -> None:
    """All of a batch."""
    await worker.apply(a_batch(50, "a refund"))
    assert [len(write) for write in kafka.writes] == [50 * 20]


async def test_very_many_alerts_take_several_writes(kafka: Kafka, worker: Worker) -> None:
    """Each alert stands in one of them, and none of them grows without limit."""
    await worker.apply(a_batch(30, LONG))
    sizes = [sum(len(message.value or b"") for message in write) for write in kafka.writes]
    assert len(sizes) > 1
    assert max(sizes) < 2 * MAX_ALERT_BYTES
    assert len(kafka.ids()) == len(set(kafka.ids())) == 30 * 20
    assert await worker.positions([PARTITION]) == {PARTITION: 30}


async def test_the_position_moves_after_the_last_write(kafka: Kafka, worker: Worker) -> None:
    """Done again, the batch makes the same alerts."""
    kafka.fails_at = 1
    batch = a_batch(30, LONG)
    with pytest.raises(TryLater):
        await worker.apply(batch)
    assert await worker.positions([PARTITION]) == {PARTITION: 0}
    kafka.fails_at = None
    await worker.apply(batch)
    assert len(set(kafka.ids())) == 30 * 20
