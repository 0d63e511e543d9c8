"""Two members of a group, of which one is restarted: the other goes on as if nothing had happened."""

import asyncio
from collections.abc import Callable, Collection, Mapping

import pytest
from structlog.testing import capture_logs

from common.contracts import partition_of
from common.kafka.batch_loop import BatchLoop
from common.kafka.batches import Batch, Partition
from common.kafka.producer import Message, Producer
from common.settings import KafkaSettings

TOPIC = "records.a"
KEYS = [next(key for n in range(100) if partition_of(key := str(n).encode(), 3) == number) for number in range(3)]


class Store:
    """Positions that all members share."""

    def __init__(self) -> None:
        self.stored: dict[Partition, int] = {}

    async def positions(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        return {partition: self.stored[partition] for partition in partitions if partition in self.stored}

    async def apply(self, batch: Batch) -> None:
        assert self.stored.get(batch.partition, 0) == batch.position
        self.stored[batch.partition] = batch.next_position


class Member:
    """One replica, to be stopped and started again."""

    def __init__(self, settings: KafkaSettings, instance: str, store: Store) -> None:
        self._settings = settings.model_copy(update={"instance": instance})
        self._store = store
        self.start()

    def start(self) -> None:
        self.loop = BatchLoop(self._settings, group="test", topics=[TOPIC], handler=self._store)
        self._stop = asyncio.Event()
        self._running = asyncio.create_task(self.loop.run(self._stop))

    async def stop(self) -> None:
        self._stop.set()
        await self._running


async def keep_writing(producer: Producer, over: asyncio.Event) -> int:
    """A message into every partition, again and again; returns how many there were of each."""
    rounds = 0
    while not over.is_set():
        await producer.publish(TOPIC, [Message(key, b"{}", 1) for key in KEYS])
        rounds += 1
    return rounds


async def test_a_restart_leaves_the_other_member_alone(
    fresh_kafka, producer, eventually: Callable[..., object]
) -> None:
    """Nothing is taken from it or given to it anew; the other one gets back what it had, and goes on where it was."""
    store, over = Store(), asyncio.Event()
    one, two = [Member(fresh_kafka, name, store) for name in ("one", "two")]
    writing = asyncio.create_task(keep_writing(producer, over))
    await eventually(
        lambda: len(one.loop.placed()) + len(two.loop.placed()) == 3 and one.loop.placed() and two.loop.placed()
    )
    others, mine = set(two.loop.placed()), set(one.loop.placed())
    assert others.isdisjoint(mine)
    with capture_logs() as lines:
        await one.stop()
        one.start()
        await eventually(lambda: set(one.loop.placed()) == mine)
    given = [line["partitions"] for line in lines if line["event"] == "partitions_assigned"]
    assert given == [sorted(f"{fresh_kafka.topic_prefix}{topic}/{number}" for topic, number in mine)]
    assert set(two.loop.placed()) == others
    over.set()
    rounds = await writing
    await eventually(lambda: all(store.stored.get(Partition(TOPIC, number)) == rounds for number in range(3)))
    for member in (one, two):
        await member.stop()


async def test_one_that_stays_away_is_replaced(fresh_kafka, producer, eventually: Callable[..., object]) -> None:
    """Once it has been silent for the length of a session, others have its partitions."""
    settings = fresh_kafka.model_copy(update={"session_timeout_ms": 6_000})
    store = Store()
    one, two = [Member(settings, name, store) for name in ("one", "two")]
    await eventually(lambda: one.loop.placed() and two.loop.placed())
    await one.stop()
    await producer.publish(TOPIC, [Message(key, b"{}", 1) for key in KEYS])
    await eventually(lambda: all(store.stored.get(Partition(TOPIC, number)) == 1 for number in range(3)))
    await two.stop()


@pytest.mark.parametrize("instance", ["a b", "x" * 65, "ä"])
def test_a_name_that_cannot_be_is_refused(instance: str) -> None:
    with pytest.raises(ValueError, match="instance"):
        KafkaSettings(instance=instance)
