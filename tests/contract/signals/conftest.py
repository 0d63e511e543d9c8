"""A scanner at work on a real Kafka: rules put into control, records sent, and the alerts that it wrote."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition

from common import metrics
from common.alerts import ERASURE_KEY, Alert
from common.clock import SystemClock
from common.concurrency import all_of
from common.contracts import ALERTS, RECORDS, ControlKind, RecordA, RecordB, Stream
from common.health import Health
from common.kafka.control import ControlTable
from common.kafka.producer import Message, Producer
from common.settings import KafkaSettings
from matching.rules import Rule
from signals.scan.settings import ScanSettings
from signals.scan.wiring import assembled

PARTITIONS = 3
WITHIN_S = 60.0


class Log:
    """What a scanner reads and writes."""

    def __init__(self, settings: KafkaSettings, producer: Producer, control: ControlTable) -> None:
        self.settings = settings
        self.producer = producer
        self.control = control
        self._following = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, enable_auto_commit=False)
        self._alerts: list[Alert] = []

    async def start(self) -> None:
        await self._following.start()
        self._following.assign(self._partitions(ALERTS))
        await self._following.seek_to_beginning()

    async def stop(self) -> None:
        await self._following.stop()

    async def put(self, rule: Rule | None, name: str = "") -> int:
        """Write a rule, or delete the one of this name; its version."""
        return await self.control.put(ControlKind.RULE, rule.name if rule else name, rule)

    async def send(self, *records: RecordA, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        for stream in Stream:
            messages = [
                Message(record.id.encode(), msgspec.json.encode(record), 1, headers)
                for record in records
                if isinstance(record, RecordB) is (stream is Stream.B)
            ]
            if messages:
                await self.producer.publish(RECORDS[stream], messages)

    async def read(self, topic: str) -> list[Any]:
        """All messages of a topic, partition by partition."""
        found: list[Any] = []
        async with AIOKafkaConsumer(bootstrap_servers=self.settings.kafka_bootstrap) as consumer:
            for tp in self._partitions(topic):
                consumer.assign([tp])
                await consumer.seek_to_beginning(tp)
                end = (await consumer.end_offsets([tp]))[tp]
                while await consumer.position(tp) < end:
                    found += (await consumer.getmany(tp, timeout_ms=200)).get(tp, ())
        return found

    async def alerts(self) -> list[Alert]:
        """The alerts that were written so far, repetitions included."""
        for entries in (await self._following.getmany(timeout_ms=20)).values():
            found = [entry.value for entry in entries if not entry.key.startswith(ERASURE_KEY)]
            self._alerts += [msgspec.json.decode(value, type=Alert) for value in found]
        return self._alerts

    async def raised(self, holds: Callable[[list[Alert]], object], within_s: float = WITHIN_S) -> list[Alert]:
        """The alerts, once they are as they should be."""
        deadline = time.monotonic() + within_s
        while not holds(found := await self.alerts()):
            assert time.monotonic() < deadline, found
        return found

    def _partitions(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(self.settings.topic_prefix + topic, number) for number in range(PARTITIONS)]


@pytest_asyncio.fixture
async def log(fresh_kafka: KafkaSettings) -> AsyncIterator[Log]:
    producer = Producer(fresh_kafka)
    await producer.start()
    control = ControlTable(fresh_kafka, producer, SystemClock(), types={ControlKind.RULE: Rule})
    await control.start()
    log = Log(fresh_kafka, producer, control)
    await log.start()
    yield log
    await log.stop()
    await control.stop()
    await producer.stop()


@pytest.fixture
def scanning(fresh_kafka: KafkaSettings) -> Callable[[], Any]:
    """A scanner that works within the block; it gives its health."""

    @asynccontextmanager
    async def scanning(**settings: Any) -> AsyncIterator[Health]:
        health, stop = Health(), asyncio.Event()
        for gauge in (metrics.RULES_AS_OF, metrics.RULES_IN_FORCE, metrics.RULES_REFUSED):
            gauge.set(0)  # what the scanner of another test left there is not said of this one
        wanted = ScanSettings(**{**fresh_kafka.model_dump(), **settings})
        async with assembled(wanted, health, SystemClock(), stop) as parts:
            work = asyncio.ensure_future(all_of([part.run(stop) for part in parts]))
            try:
                yield health
            finally:
                stop.set()
                await asyncio.wait_for(work, 30)

    return scanning


@pytest.fixture
def a_b() -> Callable[..., RecordB]:
    """A B of which only what is said matters."""

    def a_b(id_: str, text: str, **fields: Any) -> RecordB:
        known = {"a_id": "a", "number": 1.0, "event_time": 5, "ingested_at": 7}
        return RecordB(id=id_, text=text, **{**known, **fields})

    return a_b
