"""A topic full of records, and two ways to take it in: the aggregates process, and a bare loop of ZADDs."""

import asyncio
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from harness.processes import usage
from redis.asyncio import Redis

from common.clock import SystemClock
from common.contracts import RECORDS, Condition, ControlKind, RecordB, Stream
from common.kafka.control import ControlTable
from common.kafka.producer import Message, Producer
from common.kafka.topics import ensure_topics
from common.settings import KafkaSettings
from localstack.testing import Stack, running_servers
from windows.layout import POSITIONS

BASE = "{b:00}"
PARTITIONS = 4
PER_A = 10
WEEK_MS = 7 * 24 * 3_600_000
BATCH = 10_000
DEADLINE_S = 600.0


class Caught(NamedTuple):
    """How fast a topic was taken in, and at what price for worker and server together."""

    per_second: float
    cpu_s: float  # per million records


class Topic(NamedTuple):
    """A full topic and the servers around it."""

    stack: Stack
    length: int
    redis: Any
    control: ControlTable

    async def have_conditions(self, named: Mapping[str, str]) -> None:
        """Let these be all the conditions there are, by name."""
        gone = {entry.value.name for entry in self.control.of(Condition)} - named.keys()
        made = [
            Condition(name=name, stream=Stream.B, expression=expression, created_at=1, changed_at=1)
            for name, expression in named.items()
        ]
        put = self.control.put
        await asyncio.gather(*(put(ControlKind.CONDITION, name, None) for name in gone))
        await asyncio.gather(*(put(ControlKind.CONDITION, condition.name, condition) for condition in made))


@asynccontextmanager
async def full_topic(count: int) -> AsyncIterator[Topic]:
    """Servers of their own, `count` records of the past week in records.b, and no condition."""
    with tempfile.TemporaryDirectory() as folder:
        async with running_servers(Path(folder)) as stack:
            settings = KafkaSettings(kafka_bootstrap=stack.kafka_bootstrap)
            await ensure_topics(settings, partitions=PARTITIONS)
            producer, clock = Producer(settings), SystemClock()
            control = ControlTable(settings, producer, clock)
            await producer.start()
            await control.start()
            for messages in batched(records(count)):
                await producer.publish(RECORDS[Stream.B], messages)
            async with Redis.from_url(stack.redis_url) as redis:
                yield Topic(stack, count, redis, control)
            await control.stop()
            await producer.stop()


def records(count: int) -> Iterator[Message]:
    chance, now_ms = random.Random(1), SystemClock().now_ms()
    for n in range(count):
        record = RecordB(
            id=f"b-{chance.randrange(10**9):09}",
            a_id=f"a-{chance.randrange(max(1, count // PER_A)):06}",
            number=chance.random() * 1000,
            text="x" * 200,
            event_time=now_ms - chance.randrange(WEEK_MS),
            ingested_at=now_ms * 1000 + n,
        )
        yield Message(record.id.encode(), msgspec.json.encode(record), now_ms)


def batched(messages: Iterator[Message]) -> Iterator[list[Message]]:
    batch: list[Message] = []
    for message in messages:
        batch.append(message)
        if len(batch) == BATCH:
            yield batch
            batch = []
    yield batch


async def catch_up(topic: Topic) -> Caught:
    """Start the aggregates process on empty windows and wait until it is through; its start is not counted."""
    stack = topic.stack
    await topic.redis.flushall()
    if "aggregates" in stack.supervisor.states():
        await stack.start("aggregates")
    else:
        await stack.start_services(["aggregates"])
    server, worker = stack.supervisor.child("valkey").pid, stack.supervisor.child("aggregates").pid
    before, started, first = (usage(worker).cpu_s, usage(server).cpu_s), time.perf_counter(), 0
    deadline = started + DEADLINE_S
    while (done := await taken_in(topic.redis)) < topic.length:
        if not first and done:
            first, started = done, time.perf_counter()
            before = (usage(worker).cpu_s, usage(server).cpu_s)
        if time.perf_counter() > deadline:
            raise TimeoutError(f"{done} of {topic.length} records are counted")
        await asyncio.sleep(0.01)
    counted, seconds = topic.length - first, time.perf_counter() - started
    spent = usage(worker).cpu_s - before[0] + usage(server).cpu_s - before[1]
    await stack.stop("aggregates")
    return Caught(counted / seconds, spent / counted * 1e6)


async def taken_in(redis: Any) -> int:
    positions = await redis.hmget(BASE + POSITIONS, *map(str, range(PARTITIONS)))
    return sum(int(position or 0) for position in positions)


async def bare_loop(topic: Topic) -> float:
    """Read, decode, group, ZADD in one pipeline: records a second, with no version, condition or position."""
    await topic.redis.flushall()
    consumer = AIOKafkaConsumer(bootstrap_servers=topic.stack.kafka_bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(RECORDS[Stream.B], n) for n in range(PARTITIONS)])
    decode, done, started = msgspec.json.Decoder(RecordB).decode, 0, time.perf_counter()
    while done < topic.length:
        for entries in (await consumer.getmany(timeout_ms=500, max_records=5_000)).values():
            sets: dict[str, dict[str, int]] = defaultdict(dict)
            for entry in entries:
                record = decode(entry.value)
                sets["all"][record.id] = sets[record.a_id][record.id] = record.event_time
            pipeline = topic.redis.pipeline(transaction=False)
            for key, members in sets.items():
                pipeline.zadd(key, members)
            await pipeline.execute()
            done += len(entries)
    seconds = time.perf_counter() - started
    await consumer.stop()
    return done / seconds
