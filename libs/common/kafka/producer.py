"""Writing to the log: acknowledged by all in-sync replicas, idempotent, in the order given per partition.

Many records at once are packed into whole batches by partition here: it costs a tenth of sending each by itself.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata

from common import metrics, spans
from common.concurrency import all_of
from common.contracts import partition_of
from common.errors import CannotStart, TryLater
from common.kafka.connection import client_options, translated
from common.kafka.starting import started
from common.settings import KafkaSettings

log = structlog.get_logger()

Headers = Sequence[tuple[str, bytes]]

_BATCH_BYTES: Final = 256 * 1024
_REFUSED_S: Final = 10.0  # until someone who was refused may ask again: a hand is needed in between
_SINGLY: Final = 8  # up to here, letting aiokafka gather records of several requests beats a batch of our own


class Message(msgspec.Struct, frozen=True, gc=False):
    """What is to be written; a value of None is a tombstone.

    No work for the garbage collector: a hundred thousand of them at once would have it look through everything.
    """

    key: bytes
    value: bytes | None
    timestamp_ms: int
    headers: Headers = ()


Receipt = Mapping[tuple[str, int], int]
"""The greatest offset written, by (topic without prefix, partition)."""


class Producer:
    """The only writer to the log that a process has."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._deadline_s = settings.kafka_timeout_ms / 1000
        self._spent = False
        self._renewal: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._producer = self._new()

    def _new(self) -> AIOKafkaProducer:
        settings = self._settings
        compression = None if settings.compression == "none" else settings.compression
        try:
            return AIOKafkaProducer(
                **client_options(settings),
                acks="all",
                enable_idempotence=True,
                compression_type=compression,
                linger_ms=settings.linger_ms,
                max_batch_size=_BATCH_BYTES,
                max_request_size=settings.max_message_bytes,
            )
        except (RuntimeError, ValueError) as error:
            raise CannotStart(f"Kafka's producer refused its options: {error}") from error

    async def start(self) -> None:
        """Connect.

        Raises:
            TryLater: no broker answers.
            CannotStart: a broker answers that cannot serve us.
        """
        await started(self._producer, self._settings, "the producer's start")

    async def stop(self) -> None:
        """Flush what is buffered and close.

        Kafka that is away is not waited for longer than for a write: what is still buffered then, nobody was promised.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                if self._renewal is not None:
                    self._renewal.cancel()
                    await asyncio.wait([self._renewal])
                await self._producer.stop()
        except TimeoutError:
            log.warning("producer_not_flushed", waited_s=self._deadline_s)

    async def publish(self, topic: str, messages: Sequence[Message]) -> Receipt:
        """Write `messages` and wait until Kafka has acknowledged every one.

        Args:
            topic: name without prefix.
            messages: in the order that each key's must keep.

        Returns:
            The greatest offset per partition.

        Raises:
            TryLater: Kafka did not acknowledge all of them in time; some may have been written. Or it no longer lets us
                in, as it did at the start: whoever took that back may give it again.
        """
        started = time.perf_counter()
        name = self._settings.topic_prefix + topic
        send = self._singly if len(messages) <= _SINGLY else self._packed
        try:
            # aiokafka never gives an idempotent write up; who waits for it must be told in time.
            async with asyncio.timeout(self._deadline_s):
                await self._renew_if_spent()
                with spans.calling(f"send {topic}", _about(topic, messages)), translated(f"a write to {topic}"):
                    offsets = await send(name, messages)
        except TimeoutError:
            raise TryLater(f"Kafka did not acknowledge a write to {topic} within {self._deadline_s:g} s") from None
        except CannotStart as error:
            self._spent = True
            raise TryLater(f"Kafka refused a write to {topic}", _REFUSED_S) from error
        except TryLater as error:
            self._spent = self._spent or _spends(error.__cause__)
            raise
        if any(offset < 0 for offset in offsets.values()):
            # A repeated send that Kafka knew already is acknowledged without its place: ask again rather than guess.
            raise TryLater(f"Kafka did not say where the write to {topic} is")
        metrics.PUBLISH_SECONDS.labels(topic).observe(time.perf_counter() - started)
        return {(topic, partition): offset for partition, offset in offsets.items()}

    async def partitions(self, topic: str) -> int:
        """How many partitions `topic` has, named without prefix.

        Raises:
            TryLater: Kafka did not say.
        """
        try:
            async with asyncio.timeout(self._deadline_s):
                with translated(f"a look at {topic}"):
                    return await self._partitions(self._settings.topic_prefix + topic)
        except TimeoutError:
            raise TryLater(f"Kafka did not say within {self._deadline_s:g} s how it parts {topic}") from None

    async def _renew_if_spent(self) -> None:
        """Replace a producer that Kafka will not take another write from; all who need another wait for the same one.

        aiokafka counts an idempotent write as made before it is sent. Once one has failed for good, every later write
        to its partition is out of sequence, for as long as that producer lives.
        """
        if not self._spent:
            return
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew(), name="renewal")
        await asyncio.shield(self._renewal)  # who waits no longer leaves it to the others

    async def _renew(self) -> None:
        former, fresh = self._producer, self._new()
        try:
            await started(fresh, self._settings, "the start of a new producer")
        except BaseException:
            await fresh.stop()
            raise
        self._producer, self._spent = fresh, False
        log.warning("producer_renewed")
        retiring = asyncio.create_task(self._retire(former))
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)

    async def _retire(self, former: AIOKafkaProducer) -> None:
        """Let a former producer finish what it still can."""
        try:
            async with asyncio.timeout(self._deadline_s):
                await former.stop()
        except (TimeoutError, KafkaError) as error:
            log.warning("former_producer_not_flushed", detail=repr(error))

    async def _singly(self, topic: str, messages: Sequence[Message]) -> dict[int, int]:
        partitions = await self._partitions(topic)
        pending = [
            await self._producer.send(
                topic,
                message.value,
                message.key,
                partition_of(message.key, partitions),
                message.timestamp_ms,
                message.headers,
            )
            for message in messages
        ]
        written = await all_of(pending)
        return _greatest((metadata.partition, metadata.offset) for metadata in written)

    async def _packed(self, topic: str, messages: Sequence[Message]) -> dict[int, int]:
        partitions = await self._partitions(topic)
        by_partition: dict[int, list[Message]] = defaultdict(list)
        for message in messages:
            by_partition[partition_of(message.key, partitions)].append(message)
        written = await all_of(
            [asyncio.ensure_future(self._send_partition(topic, p, batch)) for p, batch in by_partition.items()]
        )
        return dict(written)

    async def _send_partition(self, topic: str, partition: int, messages: Sequence[Message]) -> tuple[int, int]:
        """Send one partition's messages in batches, one after the other enqueued; returns its last offset."""
        pending = []
        batch = self._producer.create_batch()
        for one in messages:
            headers = list(one.headers)  # aiokafka takes no other sequence
            # A batch takes its first message whatever the size, so the second attempt succeeds.
            while batch.append(key=one.key, value=one.value, timestamp=one.timestamp_ms, headers=headers) is None:
                pending.append(await self._send_batch(topic, partition, batch))
                batch = self._producer.create_batch()
        pending.append(await self._send_batch(topic, partition, batch))
        starts = [written.offset for written in await all_of(pending)]
        return partition, min(starts) if min(starts) < 0 else starts[-1] + batch.record_count() - 1

    async def _send_batch(self, topic: str, partition: int, batch: BatchBuilder) -> asyncio.Future[RecordMetadata]:
        batch.close()
        delivered: asyncio.Future[RecordMetadata] = await self._producer.send_batch(batch, topic, partition=partition)
        return delivered

    async def _partitions(self, topic: str) -> int:
        return len(await self._producer.partitions_for(topic))


def _about(topic: str, messages: Sequence[Message]) -> spans.Attributes:
    about: dict[str, str | int] = {
        "messaging.system": "kafka",
        "messaging.operation.type": "send",
        "messaging.operation.name": "send",
        "messaging.destination.name": topic,
    }
    return about | {"messaging.batch.message_count": len(messages)} if len(messages) > 1 else about


def _spends(cause: BaseException | None) -> bool:
    """Whether a producer is of no use after `cause`: a failure that aiokafka does not try again."""
    return isinstance(cause, KafkaError) and not cause.retriable and not isinstance(cause, KafkaTimeoutError)


def _greatest(offsets: Iterable[tuple[int, int]]) -> dict[int, int]:
    greatest: dict[int, int] = {}
    for partition, offset in offsets:
        greatest[partition] = max(offset, greatest.get(partition, -1))
    return greatest
