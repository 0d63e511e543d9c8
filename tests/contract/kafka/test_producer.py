"""The producer on a real Kafka: what it promises, and how it outlives a write that failed for good."""

import asyncio
import os

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError

from common.contracts import RECORDS, Stream
from common.errors import TryLater
from common.kafka.producer import Message, Producer

TOPIC = RECORDS[Stream.A]


def messages(count: int, value: bytes = b"v") -> list[Message]:
    return [Message(key=b"k", value=value, timestamp_ms=1_790_000_000_000) for _ in range(count)]


@pytest.mark.parametrize("count", [1, 8, 9, 5000])
async def test_a_receipt_names_the_last_offset(producer: Producer, count: int) -> None:
    """One by one or in batches, the greatest offset is that of the last message."""
    first = await producer.publish(TOPIC, messages(1))
    ((place, before),) = first.items()
    assert await producer.publish(TOPIC, messages(count)) == {place: before + count}


async def test_a_write_that_failed_for_good_takes_no_later_one_with_it(producer: Producer) -> None:
    """Kafka refuses a batch that is too large; aiokafka has counted it, and would be out of sequence ever after."""
    before = await producer.publish(TOPIC, messages(1))
    too_large = os.urandom(3 * 1024 * 1024)
    with pytest.raises(TryLater):
        await producer.publish(TOPIC, [*messages(9), *messages(1, too_large)])
    after = await producer.publish(TOPIC, messages(10))
    assert after.keys() == before.keys()
    assert min(after.values()) >= max(before.values()) + 10


async def test_what_would_stop_a_start_is_waited_for_later(producer: Producer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was let in once is told to try again, by no name of a host; let in again, it writes."""

    async def refused(*_sent: object) -> None:
        raise TopicAuthorizationFailedError("records.a on host-7")

    with monkeypatch.context() as patched:
        patched.setattr(AIOKafkaProducer, "send", refused)
        with pytest.raises(TryLater) as told:
            await producer.publish(TOPIC, messages(1))
    assert (str(told.value), told.value.retry_after) == ("Kafka refused a write to records.a", 10)
    assert await producer.publish(TOPIC, messages(1))


async def test_all_who_need_a_new_producer_wait_for_the_same_one(
    producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused or let in, they are told together; who gives up leaves the start to the others."""
    refusing, starts, going, start = True, 0, asyncio.Event(), AIOKafkaProducer.start

    async def started(one: AIOKafkaProducer) -> None:
        nonlocal starts
        starts += 1
        await going.wait()
        if refusing:
            raise TopicAuthorizationFailedError("records.a")
        await start(one)

    async def written(count: int) -> list[object]:
        going.clear()
        writes = [asyncio.create_task(producer.publish(TOPIC, messages(1))) for _ in range(count)]
        async with asyncio.timeout(30):
            before = starts
            while starts == before:
                await asyncio.sleep(0.01)
        writes[0].cancel()
        going.set()
        return list(await asyncio.gather(*writes, return_exceptions=True))

    monkeypatch.setattr(AIOKafkaProducer, "start", started)
    with pytest.raises(TryLater):
        await producer.publish(TOPIC, [*messages(9), *messages(1, os.urandom(3 * 1024 * 1024))])
    assert [getattr(one, "retry_after", None) for one in await written(9)] == [None, *[10] * 8]
    assert starts == 1
    refusing = False
    assert [isinstance(one, dict) for one in await written(9)] == [False, *[True] * 8]
    assert starts == 2
