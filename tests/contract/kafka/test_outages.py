"""Claims on a Kafka that goes away and comes back: workers and tables wait, go on, and miss nothing."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping

import pytest
import pytest_asyncio

from common.clock import ManualClock
from common.contracts import ApiKey, ControlKind, Scope
from common.errors import TryLater
from common.kafka.batch_loop import BatchLoop
from common.kafka.batches import Batch, Partition
from common.kafka.control import ControlTable
from common.kafka.producer import Message, Producer
from common.kafka.topics import ensure_topics
from common.settings import KafkaSettings
from localstack.claims import Claims
from localstack.free_ports import on_free_ports
from localstack.jars import fetch, locked
from localstack.profile import Profile
from localstack.servers import kafka
from localstack.testing import Stack

TOPIC = "records.a"


class Ledger:
    """A store that takes everything."""

    def __init__(self) -> None:
        self.applied: list[int] = []
        self.stored: dict[Partition, int] = {}

    async def positions(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        return {partition: self.stored[partition] for partition in partitions if partition in self.stored}

    async def apply(self, batch: Batch) -> None:
        self.applied += [entry.offset for entry in batch.entries]
        self.stored[batch.partition] = batch.next_position


@pytest_asyncio.fixture(scope="module")
async def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A Kafka alone, for tests to do as they like with; each leaves it running."""
    stack = Stack(on_free_ports(Profile(tmp_path_factory.mktemp("kafka"), retention=False)))
    with Claims(stack.profile.run).held():
        await stack.supervisor.start([kafka(stack.profile, fetch(locked()))])
        yield stack
        await stack.end()


async def test_a_worker_stops_in_time_while_kafka_is_away(own_kafka, eventually) -> None:
    """Whoever supervises does not wait for ever."""
    settings = KafkaSettings(kafka_bootstrap=own_kafka.kafka_bootstrap, kafka_timeout_ms=2000, topic_prefix="stops.")
    await ensure_topics(settings, partitions=1)
    loop, stop = BatchLoop(settings, group="stops", topics=[TOPIC], handler=Ledger()), asyncio.Event()
    working = asyncio.create_task(loop.run(stop))
    await eventually(lambda: loop.problem() is None)
    await own_kafka.crash("kafka")
    stop.set()
    await asyncio.wait_for(working, 30)
    await own_kafka.start("kafka")


async def test_a_kafka_that_comes_back_is_read_on_from_where_it_was(own_kafka, eventually) -> None:
    """Neither a worker nor a table needs a restart; meanwhile the worker says what it lacks, and the table serves."""
    settings = KafkaSettings(kafka_bootstrap=own_kafka.kafka_bootstrap, kafka_timeout_ms=3000)
    await ensure_topics(settings, partitions=1)
    producer, ledger, stop = Producer(settings), Ledger(), asyncio.Event()
    await producer.start()
    table = ControlTable(settings, producer, ManualClock(0))
    await table.start()
    loop = BatchLoop(settings, group="test", topics=[TOPIC], handler=ledger)
    working = asyncio.create_task(loop.run(stop))

    async def took(count: int) -> bool:
        try:
            await producer.publish(TOPIC, [Message(b"k", b"{}", 1)] * count)
        except TryLater:
            return False
        return True

    assert await took(10)
    await table.put(ControlKind.KEY, "before", a_key("before"))
    await eventually(lambda: len(ledger.applied) == 10)

    await own_kafka.crash("kafka")
    await eventually(lambda: "Kafka" in (loop.problem() or ""))
    assert not await took(1)
    assert table.get(ControlKind.KEY, "before", ApiKey) is not None
    await own_kafka.start("kafka")

    await eventually(lambda: took(10))
    await eventually(lambda: ledger.stored[Partition(TOPIC, 0)] >= 20)
    await eventually(lambda: loop.problem() is None)
    await table.put(ControlKind.KEY, "after", a_key("after"))
    assert ledger.applied == list(range(ledger.stored[Partition(TOPIC, 0)]))

    stop.set()
    await asyncio.wait_for(working, 30)
    await table.stop()
    await producer.stop()


def a_key(entry_id: str) -> ApiKey:
    return ApiKey(id=entry_id, name="", scopes=(Scope.READ,), secret_sha256="", created_at=0)
