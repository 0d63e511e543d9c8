"""Follows all of a topic as one reader, in no group: whoever reads keeps the positions, and says where to go on."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from common.errors import TryLater
from common.kafka.batches import Entry
from common.kafka.connection import client_options, close_consumer, translated
from common.kafka.starting import started
from common.settings import KafkaSettings

log = structlog.get_logger()

_FETCH_MAX_WAIT_MS: Final = 500


class Follower:
    """A consumer of every partition of one topic."""

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._full_name = settings.topic_prefix + topic
        self._consumer: Any = None

    async def start(self) -> None:
        """Connect.

        Raises:
            TryLater: Kafka cannot be reached.
        """
        self._consumer = AIOKafkaConsumer(
            **client_options(self._settings),
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # for an offset that retention took away
            max_partition_fetch_bytes=self._settings.max_message_bytes,
            fetch_max_wait_ms=_FETCH_MAX_WAIT_MS,
        )
        await started(self._consumer, self._settings, f"the start of a reader of {self._topic}")

    async def stop(self) -> None:
        if self._consumer is not None:
            await close_consumer(self._consumer)

    async def place(self, positions: Mapping[int, int]) -> None:
        """Read on from `positions`; a partition that is not among them from its oldest message.

        Raises:
            TryLater: Kafka cannot be reached, or does not have the topic yet.
        """
        with translated(f"a look at {self._topic}"):
            partitions = await self._partitions()
            self._consumer.assign([self._tp(number) for number in partitions])
            starts = await self._consumer.beginning_offsets([self._tp(number) for number in partitions])
        for number in partitions:
            position, start = positions.get(number, 0), starts[self._tp(number)]
            if 0 < position < start:
                detail = "retention was faster than we"
                log.warning(
                    "log_gap", topic=self._topic, partition=number, position=position, found=start, detail=detail
                )
            self._consumer.seek(self._tp(number), max(position, start))

    async def read(self, max_records: int, wait_ms: int) -> Mapping[int, Sequence[Entry]]:
        """What has come, by partition, after at most `wait_ms`.

        Raises:
            TryLater: Kafka cannot be reached.
        """
        with translated(f"a reading of {self._topic}"):
            fetched = await self._consumer.getmany(timeout_ms=wait_ms, max_records=max_records)
        return {tp.partition: entries for tp, entries in fetched.items()}

    async def bounds(self) -> Mapping[int, tuple[int, int]]:
        """By partition, the offset of the oldest message that is left, and the one that the next message will have.

        Raises:
            TryLater: Kafka cannot be reached, or does not have the topic yet.
        """
        with translated(f"a look at {self._topic}"):
            tps = [self._tp(number) for number in await self._partitions()]
            starts, ends = await self._consumer.beginning_offsets(tps), await self._consumer.end_offsets(tps)
        return {tp.partition: (starts[tp], ends[tp]) for tp in tps}

    async def _partitions(self) -> Sequence[int]:
        """Asked anew each time: a topic may be given more of them."""
        known = (await self._consumer._client.fetch_all_metadata()).partitions_for_topic(self._full_name)  # noqa: SLF001
        if not known:
            raise TryLater(f"Kafka has no topic {self._topic} yet")
        return sorted(known)

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self._full_name, partition)
