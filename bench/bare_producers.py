"""Ceilings of ingest: aiokafka's producer alone, handed records that are encoded and valid already."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from common.contracts import partition_of
from common.kafka.producer import Message
from common.settings import KafkaSettings

TOPIC = "records.b"
AT_ONCE = 4  # as many batches of a thousand as the senders have under way
BATCH = 1_000

Partitioner = Callable[[bytes, int], int]


def by_murmur2(key: bytes, partitions: int) -> int:
    """As aiokafka's own partitioner, and so Java's, does."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


by_crc32 = partition_of


def producer(settings: KafkaSettings) -> AIOKafkaProducer:
    """With the options of ours."""
    return AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap,
        acks="all",
        enable_idempotence=True,
        compression_type=settings.compression,
        linger_ms=settings.linger_ms,
        max_batch_size=256 * 1024,
    )


async def send_each(settings: KafkaSettings, messages: Sequence[Message]) -> None:
    """`send` of each record, as its documentation shows; a thousand are waited for together."""
    async with producer(settings) as bare:

        async def batch(part: Sequence[Message]) -> None:
            sent = [await bare.send(TOPIC, one.value, one.key, timestamp_ms=one.timestamp_ms) for one in part]
            await asyncio.gather(*sent)

        await _several_at_once(batch, messages)


async def send_batches(settings: KafkaSettings, messages: Sequence[Message], partitioner: Partitioner) -> None:
    """`create_batch` and `send_batch`, which leave the choice of a partition to the caller."""
    async with producer(settings) as bare:
        partitions = len(await bare.partitions_for(TOPIC))

        async def batch(part: Sequence[Message]) -> None:
            builders: dict[int, Any] = defaultdict(bare.create_batch)
            for one in part:
                builder = builders[partitioner(one.key, partitions)]
                builder.append(key=one.key, value=one.value, timestamp=one.timestamp_ms)
            sent = [await bare.send_batch(builder, TOPIC, partition=p) for p, builder in builders.items()]
            await asyncio.gather(*sent)

        await _several_at_once(batch, messages)


async def _several_at_once(batch: Callable[[Sequence[Message]], Any], messages: Sequence[Message]) -> None:
    starts = iter(range(0, len(messages), BATCH))

    async def some() -> None:
        for start in starts:
            await batch(messages[start : start + BATCH])

    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
