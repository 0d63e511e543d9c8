"""Reading the log again from any offset, beside the loop that follows it and without disturbing it."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from common.kafka.batches import Entry, Partition
from common.kafka.connection import client_options, close_consumer, translated
from common.kafka.starting import started
from common.settings import KafkaSettings

_POLL_MS: Final = 50  # a longer poll at one partition's end would hold up the next partition that is asked for
_PATIENCE_MS: Final = 1_000


class Replay:
    """A consumer of its own, in no group: whoever reads keeps the position."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._consumer: Any = None
        self._partition: Partition | None = None

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
            fetch_max_wait_ms=_POLL_MS,
        )
        await started(self._consumer, self._settings, "the start of a replay")

    async def stop(self) -> None:
        if self._consumer is not None:
            await close_consumer(self._consumer)

    async def read(self, partition: Partition, start: int, max_records: int) -> Sequence[Entry]:
        """Messages of `partition` from `start` on, or from the oldest that is left; none when nothing came for a while.

        Raises:
            TryLater: Kafka cannot be reached.
        """
        tp = self._tp(partition)
        with translated(f"a replay of {partition.topic}"):
            if self._partition != partition:
                self._consumer.assign([tp])
                self._partition = partition
            if await self._consumer.position(tp) != start:
                self._consumer.seek(tp, start)
            fetched = await self._consumer.getmany(tp, timeout_ms=_PATIENCE_MS, max_records=max_records)
        entries: Sequence[Entry] = fetched.get(tp, ())
        return entries

    def rest(self) -> None:
        """Stop fetching ahead until the next `read`."""
        if self._partition is not None:
            self._consumer.unsubscribe()
            self._partition = None

    async def first_since(self, partition: Partition, timestamp_ms: int) -> int:
        """The offset of the first message written at or after `timestamp_ms`; the end of the log where there is none.

        Raises:
            TryLater: Kafka cannot be reached.
        """
        tp = self._tp(partition)
        with translated(f"a look into {partition.topic}"):
            found = (await self._consumer.offsets_for_times({tp: timestamp_ms}))[tp]
            end = (await self._consumer.end_offsets([tp]))[tp]
        return int(end if found is None else found.offset)

    async def bounds(self, partition: Partition) -> tuple[int, int]:
        """The offset of the oldest message that is left, and the one that the next message will have.

        Raises:
            TryLater: Kafka cannot be reached.
        """
        tp = self._tp(partition)
        with translated(f"a look into {partition.topic}"):
            starts, ends = await self._consumer.beginning_offsets([tp]), await self._consumer.end_offsets([tp])
        return int(starts[tp]), int(ends[tp])

    async def ends(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """The offset that the next message of each of `partitions` will have.

        Raises:
            TryLater: Kafka cannot be reached.
        """
        asked = {self._tp(partition): partition for partition in partitions}
        with translated("a look at the ends of the log"):
            found = await self._consumer.end_offsets(list(asked))
        return {partition: int(found[tp]) for tp, partition in asked.items()}

    def _tp(self, partition: Partition) -> TopicPartition:
        return TopicPartition(self._settings.topic_prefix + partition.topic, partition.number)
