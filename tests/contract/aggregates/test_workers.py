"""Whole workers on a real Kafka and a Valkey that is killed: in the end every record is counted, and once."""

import asyncio
import os
import random
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from aggregates.settings import AggregatesSettings
from common.clock import SystemClock
from common.contracts import RECORDS, Condition, ControlKind, RecordB, Stream, version_of
from common.kafka.control import ControlTable
from common.kafka.producer import Message, Producer
from common.settings import KafkaSettings
from localstack.free_ports import free_port
from windows.connection import Connection
from windows.counts import Counts
from windows.layout import held_name
from windows.questions import Question, Unit, Window

WITHIN_S = 60.0

pytestmark = pytest.mark.long  # Kafka notices only after ten seconds that a member of a group is dead


class Workers:
    """Workers, each a process of its own."""

    def __init__(self, settings: AggregatesSettings) -> None:
        self._environment = {
            **os.environ,
            "TWINSTREAM_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
            "TWINSTREAM_TOPIC_PREFIX": settings.topic_prefix,
            "TWINSTREAM_REDIS_URL": settings.redis_url.get_secret_value(),
            "TWINSTREAM_WINDOW_SHARDS": "2",
            "TWINSTREAM_AGGREGATES_BATCH_RECORDS": "150",
            "TWINSTREAM_FILL_RECORDS_PER_SECOND": "1000",
        }
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, port: int) -> None:
        environment = {**self._environment, "TWINSTREAM_AGGREGATES_METRICS_PORT": str(port)}
        command = [sys.executable, "-m", "aggregates"]
        self._running.append(subprocess.Popen(command, env=environment))  # noqa: S603  # our own service

    async def stop(self) -> None:
        """Let the oldest end in good order."""
        process = self._running.pop(0)
        process.terminate()
        assert await asyncio.to_thread(process.wait) == 0

    async def kill(self) -> None:
        """End the oldest in the middle of whatever it does."""
        process = self._running.pop(0)
        process.kill()
        await asyncio.to_thread(process.wait)

    async def kill_all(self) -> None:
        while self._running:
            await self.kill()


class Log:
    """What was sent, and what it should come to."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._chance = random.Random(5)
        self._now_ms = SystemClock().now_ms()
        self.records: list[RecordB] = []

    async def send(self, count: int) -> None:
        """Records of few ids, in no order of time, some of them twice."""
        fresh = [self._record(len(self.records) + n) for n in range(count)]
        fresh += self._chance.sample(fresh, count // 10)
        self.records += fresh
        messages = [Message(record.id.encode(), msgspec.json.encode(record), self._now_ms) for record in fresh]
        await self._producer.publish(RECORDS[Stream.B], messages)

    def items(self, holds: Callable[[RecordB], bool]) -> int:
        newest: dict[str, RecordB] = {}
        for record in self.records:
            if record.id not in newest or version_of(record) > version_of(newest[record.id]):
                newest[record.id] = record
        return sum(map(holds, newest.values()))

    def _record(self, n: int) -> RecordB:
        return RecordB(
            id=f"b-{self._chance.randrange(400)}",
            a_id=f"a-{self._chance.randrange(20)}",
            number=float(self._chance.randrange(100)),
            text="",
            event_time=self._now_ms - self._chance.randrange(3_000_000),
            ingested_at=self._now_ms * 1000 + n,
        )


@pytest.fixture
def durable(tmp_path: Path, valkey: Any) -> Any:
    """A Valkey that writes an append-only file, as the local default does."""
    folder = tmp_path / "valkey"
    folder.mkdir()
    server = type(valkey)(folder, free_port(), "--appendonly", "yes", "--save", "")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def settings(fresh_kafka: KafkaSettings, durable: Any) -> AggregatesSettings:
    return AggregatesSettings(
        kafka_bootstrap=fresh_kafka.kafka_bootstrap,
        topic_prefix=fresh_kafka.topic_prefix,
        redis_url=durable.settings.redis_url,
    )


@pytest_asyncio.fixture
async def producer(settings: AggregatesSettings) -> AsyncIterator[Producer]:
    producer = Producer(settings)
    await producer.start()
    yield producer
    await producer.stop()


@pytest_asyncio.fixture
async def workers(settings: AggregatesSettings) -> AsyncIterator[Workers]:
    workers = Workers(settings)
    yield workers
    await workers.kill_all()


async def eventually(claim: Callable[[], Awaitable[None]]) -> None:
    """Try `claim` until it holds; its failure counts only in the end."""
    deadline = asyncio.get_running_loop().time() + WITHIN_S
    while True:
        try:
            await claim()
        except Exception:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.1)
        else:
            return


async def test_killed_workers_rebalances_and_an_older_snapshot(
    settings: AggregatesSettings, durable: Any, producer: Producer, workers: Workers
) -> None:
    """Two workers, of which one is killed and another comes; a Valkey that comes back with an older state, twice."""
    log, clock = Log(producer), SystemClock()
    await log.send(500)
    workers.start(free_port())
    async with AsyncExitStack() as stack:
        connection = Connection(settings)
        stack.push_async_callback(connection.close)

        async def everything_is_counted() -> None:
            everything = Window(log._now_ms - 3_600_000)
            questions = [Question(Stream.B, everything), Question(Stream.B, everything, Unit.EVENTS)]
            of_a = Question(Stream.B, everything, a_id="a-7")
            found = await Counts(connection, "", clock).ask([*questions, of_a])
            expected = [log.items(lambda _: True), len(log.records), log.items(lambda record: record.a_id == "a-7")]
            assert found.counts == expected

        await eventually(everything_is_counted)
        older = durable.folder.parent / "older"
        durable.kill()
        shutil.copytree(durable.folder, older)
        durable.start()

        workers.start(free_port())
        await log.send(500)
        await workers.kill()
        workers.start(free_port())
        await log.send(500)
        await eventually(everything_is_counted)

        durable.kill()
        shutil.rmtree(durable.folder)
        shutil.copytree(older, durable.folder)
        durable.start()
        await eventually(everything_is_counted)

        await log.send(500)
        durable.kill()
        durable.start()
        await workers.stop()
        await eventually(everything_is_counted)


async def test_a_condition_survives_the_worker_that_fills_it(
    settings: AggregatesSettings, producer: Producer, workers: Workers
) -> None:
    """Made while records come, filled by whoever has the partition, resumed after a kill, changed, and exact."""
    log, clock = Log(producer), SystemClock()
    await log.send(2_000)
    workers.start(free_port())
    async with AsyncExitStack() as stack:
        connection = Connection(settings)
        stack.push_async_callback(connection.close)
        control = ControlTable(settings, producer, clock)
        stack.push_async_callback(control.stop)
        await control.start()

        async def put(expression: str) -> int:
            condition = Condition(
                name="big", stream=Stream.B, expression=expression, per_a=True, created_at=1, changed_at=1
            )
            return await control.put(ControlKind.CONDITION, "big", condition)

        def counted_by(revision: int, least: float) -> Callable[[], Awaitable[None]]:
            async def claim() -> None:
                counts = Counts(connection, "", clock)
                standing = (await counts.known(Stream.B)).standing
                assert standing.is_whole(revision), standing.progress(revision)
                held = held_name("big", revision)
                window = Window(log._now_ms - 3_600_000)
                questions = [Question(Stream.B, window, held=held), Question(Stream.B, window, a_id="a-3", held=held)]
                expected = [
                    log.items(lambda record: record.number > least),
                    log.items(lambda record: record.number > least and record.a_id == "a-3"),
                ]
                assert (await counts.ask(questions)).counts == expected

            return claim

        first = await put("number > 50")
        await log.send(500)
        await workers.kill()
        workers.start(free_port())
        await log.send(500)
        await eventually(counted_by(first, 50))
        second = await put("number > 80.0 && text == ''")
        await log.send(100)
        await eventually(counted_by(second, 80))
