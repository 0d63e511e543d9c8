"""Claims on the loop of every worker, on a real Kafka: nothing is skipped, whatever fails and whoever comes or goes."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from common.contracts import partition_of
from common.errors import Reposition, TryLater
from common.kafka.batch_loop import BatchLoop
from common.kafka.batches import Batch, Partition
from common.kafka.producer import Message, Producer
from common.settings import KafkaSettings

TOPIC = "records.a"
ZERO = Partition(TOPIC, 0)


class Ledger:
    """A store as the loop sees one: it takes a batch and its position in one step, or says why it does not."""

    def __init__(self) -> None:
        self.applied: dict[Partition, list[int]] = defaultdict(list)
        self.stored: dict[Partition, int] = {}
        self.away = False
        self.reads = 0
        self.batches = 0

    async def positions(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        self._answer()
        self.reads += 1
        return {partition: self.stored[partition] for partition in partitions if partition in self.stored}

    async def apply(self, batch: Batch) -> None:
        self._answer()
        stored = self.stored.get(batch.partition, 0)
        if stored != batch.position:
            raise Reposition(f"at {stored}, not at {batch.position}")
        self.batches += 1
        self.applied[batch.partition] += [entry.offset for entry in batch.entries]
        self.stored[batch.partition] = batch.next_position

    def _answer(self) -> None:
        if self.away:
            raise TryLater("the ledger is away")


def loop_of(settings: KafkaSettings, handler: Any, **options: Any) -> BatchLoop:
    return BatchLoop(settings, group="test", topics=[TOPIC], handler=handler, **options)


@asynccontextmanager
async def running(loop: BatchLoop) -> AsyncIterator[asyncio.Event]:
    """The loop at work; stopped, and its error raised, on the way out."""
    stop = asyncio.Event()
    task = asyncio.create_task(loop.run(stop))
    try:
        yield stop
    finally:
        stop.set()
        await asyncio.wait_for(task, 60)


async def write(producer: Producer, count: int, partition: int = 0) -> None:
    """`count` messages into one partition of three."""
    own = (key for n in range(1_000_000) if partition_of(key := str(n).encode(), 3) == partition)
    await producer.publish(TOPIC, [Message(next(own), b"{}", 1) for _ in range(count)])


async def test_every_message_is_applied_once_and_in_order(fresh_kafka, producer, eventually) -> None:
    ledger = Ledger()
    await write(producer, 50)
    async with running(loop_of(fresh_kafka, ledger, max_records=7)):
        await write(producer, 50)
        await eventually(lambda: ledger.stored.get(ZERO) == 100)
    assert ledger.applied[ZERO] == list(range(100))


async def test_a_trickle_comes_in_few_batches(fresh_kafka, producer, eventually) -> None:
    """Not one for each message: between two reads there is a pause, though none before the first."""
    ledger, pace_s = Ledger(), 1.0
    settings = fresh_kafka.model_copy(update={"pace_ms": int(pace_s * 1000)})
    async with running(loop_of(settings, ledger)):
        await write(producer, 1)
        await eventually(lambda: ledger.stored.get(ZERO) == 1)
        began = time.monotonic()
        for _ in range(50):
            await write(producer, 1)
        await eventually(lambda: ledger.stored.get(ZERO) == 51)
        took_s = time.monotonic() - began
    assert ledger.batches <= 2 + took_s / pace_s
    assert ledger.applied[ZERO] == list(range(51))


async def test_it_goes_on_from_the_stored_position_and_not_from_the_groups(fresh_kafka, producer, eventually) -> None:
    """Kafka's offsets are for people: a store that was put back is caught up from where it is."""
    await write(producer, 20)
    first = Ledger()
    async with running(loop_of(fresh_kafka, first)):
        await eventually(lambda: first.stored.get(ZERO) == 20)
    second = Ledger()
    second.stored[ZERO] = 5
    async with running(loop_of(fresh_kafka, second)):
        await eventually(lambda: second.stored[ZERO] == 20)
    assert second.applied[ZERO] == list(range(5, 20))


async def test_a_store_that_is_away_is_waited_for_and_nothing_is_skipped(fresh_kafka, producer, eventually) -> None:
    """The partition stands still, readiness says why, and the same messages come again."""
    ledger = Ledger()
    loop = loop_of(fresh_kafka, ledger, max_records=5)
    async with running(loop):
        await write(producer, 10)
        await eventually(lambda: ledger.stored.get(ZERO) == 10)
        ledger.away = True
        failures = failures_of("test")
        await write(producer, 20)
        await eventually(lambda: failures_of("test") >= failures + 3)
        assert loop.problem() == "the ledger is away"
        assert ledger.stored[ZERO] == 10
        ledger.away = False
        await eventually(lambda: ledger.stored[ZERO] == 30)
        await eventually(lambda: loop.problem() is None)
    assert ledger.applied[ZERO] == list(range(30))


async def test_a_store_that_is_away_when_partitions_come_is_waited_for_too(fresh_kafka, producer, eventually) -> None:
    ledger = Ledger()
    ledger.away = True
    await write(producer, 5)
    loop = loop_of(fresh_kafka, ledger)
    async with running(loop):
        await eventually(lambda: loop.problem() == "the ledger is away")
        ledger.away = False
        await eventually(lambda: ledger.stored.get(ZERO) == 5)
    assert ledger.applied[ZERO] == list(range(5))


def failures_of(group: str) -> float:
    return REGISTRY.get_sample_value("twinstream_store_failures_total", {"service": group}) or 0


async def test_one_partition_that_waits_holds_up_no_other(fresh_kafka, producer, eventually) -> None:
    """A shard may be away by itself."""

    class HalfAway(Ledger):
        async def apply(self, batch: Batch) -> None:
            if batch.partition == ZERO:
                raise TryLater("its shard is away")
            await super().apply(batch)

    ledger = HalfAway()
    async with running(loop_of(fresh_kafka, ledger)):
        await write(producer, 5, partition=0)
        await write(producer, 5, partition=1)
        await eventually(lambda: ledger.stored.get(Partition(TOPIC, 1)) == 5)
        await write(producer, 5, partition=1)
        await eventually(lambda: ledger.stored[Partition(TOPIC, 1)] == 10)
    assert ledger.applied[ZERO] == []


async def test_a_position_that_was_moved_is_asked_for_anew(fresh_kafka, producer, eventually) -> None:
    """Another worker went ahead, or the store went back: reading goes on where the store is."""
    ledger = Ledger()
    async with running(loop_of(fresh_kafka, ledger)):
        await write(producer, 10)
        await eventually(lambda: ledger.stored.get(ZERO) == 10)
        ledger.stored[ZERO] = 4
        await write(producer, 2)
        await eventually(lambda: ledger.stored[ZERO] == 12)
    assert ledger.applied[ZERO] == [*range(10), *range(4, 12)]


async def test_a_store_that_went_back_is_noticed_though_nothing_arrives(fresh_kafka, producer, eventually) -> None:
    """A server that came back without its last writes would lack them until the next message, which may never come."""
    ledger = Ledger()
    async with running(loop_of(fresh_kafka, ledger)):
        await write(producer, 10)
        await eventually(lambda: ledger.stored.get(ZERO) == 10)
        del ledger.stored[ZERO]
        await eventually(lambda: ledger.stored.get(ZERO) == 10)
    assert ledger.applied[ZERO] == [*range(10), *range(10)]


class Slow(Ledger):
    """It has a batch in hand until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.gate = asyncio.Event(), asyncio.Event()

    async def apply(self, batch: Batch) -> None:
        self.entered.set()
        await self.gate.wait()
        await super().apply(batch)


async def test_a_partition_is_given_back_only_after_the_batch_in_hand(fresh_kafka, producer, admin, eventually) -> None:
    """Of two members never both write one partition, and the second begins where the first ended."""
    shared: dict[Partition, int] = {}
    first, second = Slow(), Ledger()
    first.stored = second.stored = shared
    for partition in range(3):
        await write(producer, 10, partition)
    async with running(loop_of(fresh_kafka, first)):
        await first.entered.wait()
        joined = loop_of(fresh_kafka, second)
        async with running(joined):
            await eventually(lambda: rebalancing(admin, fresh_kafka))
            assert second.reads == 0
            first.gate.set()
            await eventually(lambda: joined.problem() is None)
            for partition in range(3):
                await write(producer, 10, partition)
            await eventually(lambda: shared == {Partition(TOPIC, n): 20 for n in range(3)})
    together = {n: first.applied[Partition(TOPIC, n)] + second.applied[Partition(TOPIC, n)] for n in range(3)}
    assert together == {n: list(range(20)) for n in range(3)}
    assert any(second.applied.values())


async def rebalancing(admin: AIOKafkaAdminClient, settings: KafkaSettings) -> bool:
    (described,) = await admin.describe_consumer_groups([settings.topic_prefix + "test"])
    return "Rebalance" in str(described)


async def test_a_stop_finishes_the_batch_in_hand(fresh_kafka, producer) -> None:
    """A batch that was begun is applied whole, its position with it; then nothing more is taken."""
    ledger = Slow()
    await write(producer, 10)
    stop = asyncio.Event()
    task = asyncio.create_task(loop_of(fresh_kafka, ledger, max_records=4).run(stop))
    await ledger.entered.wait()
    stop.set()
    ledger.gate.set()
    await asyncio.wait_for(task, 60)
    assert ledger.applied[ZERO] == [0, 1, 2, 3]
    assert ledger.stored == {ZERO: 4}


async def test_a_stop_is_heard_while_the_group_is_busy(fresh_kafka, producer, admin, eventually) -> None:
    """A member that still waits for its partitions has nothing to finish."""
    impatient = fresh_kafka.model_copy(update={"kafka_timeout_ms": 2000})
    first, second = Slow(), Ledger()
    await write(producer, 10)
    async with running(loop_of(fresh_kafka, first)):
        await first.entered.wait()
        async with asyncio.timeout(60), running(loop_of(impatient, second)):
            await eventually(lambda: rebalancing(admin, fresh_kafka))
        assert second.reads == 0
        first.gate.set()


async def test_an_error_that_is_no_instruction_ends_it(fresh_kafka, producer, admin) -> None:
    """A fault of ours must not be retried for ever: the others finish, the member leaves, the process ends."""

    class Faulty(Ledger):
        async def apply(self, batch: Batch) -> None:
            if batch.partition == ZERO:
                raise ZeroDivisionError
            await super().apply(batch)

    ledger = Faulty()
    loop = loop_of(fresh_kafka, ledger)
    await write(producer, 5)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(loop.run(asyncio.Event()), 60)
    (described,) = await admin.describe_consumer_groups([fresh_kafka.topic_prefix + "test"])
    assert "Empty" in str(described)
    assert loop._consumer._closed


async def test_a_log_that_was_made_anew_is_read_from_its_start(fresh_kafka, producer, eventually) -> None:
    """A position beyond the end is none of this log's: it says so, and goes back to the beginning."""
    ledger = Ledger()
    ledger.stored[ZERO] = 1000
    await write(producer, 5)
    with capture_logs() as lines:
        async with running(loop_of(fresh_kafka, ledger)):
            await eventually(lambda: ledger.stored[ZERO] == 5)
    assert ledger.applied[ZERO] == [0, 1, 2, 3, 4]
    gaps = [(line["position"], line["found"]) for line in lines if line["event"] == "log_gap"]
    assert gaps == [(1000, 0)]


@pytest.mark.parametrize("stored", [None, 3])
async def test_what_retention_took_is_passed_over_and_said(fresh_kafka, producer, admin, eventually, stored) -> None:
    """It cannot be had any more; the rest is applied, and a lag that nobody can work off is not told."""
    ledger = Ledger()
    if stored is not None:
        ledger.stored[ZERO] = stored
    await write(producer, 10)
    tp = TopicPartition(fresh_kafka.topic_prefix + TOPIC, 0)
    await admin.delete_records({tp: RecordsToDelete(before_offset=7)})
    with capture_logs() as lines:
        async with running(loop_of(fresh_kafka, ledger)):
            await eventually(lambda: ledger.stored.get(ZERO) == 10)
    assert ledger.applied[ZERO] == [7, 8, 9]
    gaps = [(line["position"], line["found"]) for line in lines if line["event"] == "log_gap"]
    assert gaps == [(stored or 0, 7)]


async def test_a_topic_that_is_made_anew_under_it_is_read_from_its_start(
    fresh_kafka, producer, admin, eventually
) -> None:
    """Somebody resets the log while the worker runs."""
    ledger = Ledger()
    name = fresh_kafka.topic_prefix + TOPIC
    async with running(loop_of(fresh_kafka, ledger)):
        await write(producer, 10)
        await eventually(lambda: ledger.stored.get(ZERO) == 10)
        await admin.delete_topics([name])
        await eventually(lambda: made_again(admin, name))
        await write(producer, 3)
        await eventually(lambda: ledger.stored[ZERO] == 3)
    assert ledger.applied[ZERO] == [*range(10), *range(3)]


async def made_again(admin: AIOKafkaAdminClient, name: str) -> bool:
    await admin.create_topics([NewTopic(name, num_partitions=3, replication_factor=1)])
    return name in await admin.list_topics()


async def test_the_lag_is_told_of_partitions_that_stand_still_too(fresh_kafka, producer, eventually) -> None:
    """A store that is away is when people look at the lag."""
    ledger = Ledger()
    async with running(loop_of(fresh_kafka, ledger)):
        await write(producer, 3)
        await eventually(lambda: lag() == 0)
        ledger.away = True
        await write(producer, 8)
        await eventually(lambda: lag() == 8)


def lag() -> float | None:
    labels = {"service": "test", "topic": TOPIC, "partition": "0"}
    return REGISTRY.get_sample_value("twinstream_consumer_lag", labels)


async def test_the_group_shows_the_position_to_everybodys_tools(fresh_kafka, producer, admin, eventually) -> None:
    ledger = Ledger()
    tp = TopicPartition(fresh_kafka.topic_prefix + TOPIC, 0)
    async with running(loop_of(fresh_kafka, ledger)):
        await write(producer, 4)
        await eventually(lambda: ledger.stored.get(ZERO) == 4)
    offsets = await admin.list_consumer_group_offsets(fresh_kafka.topic_prefix + "test")
    assert offsets[tp].offset == 4


async def test_a_kafka_that_is_away_at_the_start_is_tried_later() -> None:
    nowhere = KafkaSettings(kafka_bootstrap="127.0.0.1:1", kafka_timeout_ms=1000)
    with pytest.raises(TryLater):
        await loop_of(nowhere, Ledger()).run(asyncio.Event())
