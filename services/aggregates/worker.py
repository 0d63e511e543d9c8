"""Counts what comes in: the handler of a batch."""

from collections.abc import Collection, Mapping
from typing import Final

from aggregates.changes import Item, last_ingested_ms, read
from aggregates.store import SERVICE
from aggregates.stream_windows import StreamWindows
from common import metrics
from common.clock import Clock
from common.contracts import RECORDS, Stream
from common.kafka.batches import Batch, Partition
from common.kafka.rejections import Refusal, Rejections, put_aside

STREAM_OF: Final = {topic: stream for stream, topic in RECORDS.items()}
_AGES_PER_BATCH: Final = 100


class Worker:
    """Hands each batch to its stream's windows."""

    def __init__(self, windows: Mapping[Stream, StreamWindows], rejections: Rejections, clock: Clock) -> None:
        self._windows = windows
        self._rejections = rejections
        self._clock = clock
        self.ingested_ms: dict[Partition, int] = {}
        """When the last record that was applied of a partition was ingested."""

    async def positions(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        found: dict[Partition, int] = {}
        for topic in {partition.topic for partition in partitions}:
            numbers = [partition.number for partition in partitions if partition.topic == topic]
            positions = await self._windows[STREAM_OF[topic]].positions(numbers)
            found |= {Partition(topic, number): position for number, position in positions.items()}
        return found

    async def apply(self, batch: Batch) -> None:
        """Count `batch`, and put aside what is no record.

        Raises:
            TryLater: Redis or Kafka is away; some shards may have taken it.
            Reposition: Redis lost what came before it.
        """
        stream = STREAM_OF[batch.partition.topic]
        items, refusals = read(stream, batch.entries)
        if refusals:
            await self._put_aside(batch, stream, refusals)
        await self._windows[stream].apply(batch, items)
        metrics.APPLIED.labels(SERVICE, stream, "rejected").inc(len(refusals))
        self._observe(batch.partition, stream, items)

    async def _put_aside(self, batch: Batch, stream: Stream, refusals: list[Refusal]) -> None:
        """Before the position moves, or a crash would lose them; but not again and again while Redis is away."""
        await self.positions([batch.partition])
        now_ms = self._clock.now_ms()
        await self._rejections.put(
            [put_aside(refusal, batch.partition, stream, service=SERVICE, now_ms=now_ms) for refusal in refusals]
        )

    def _observe(self, partition: Partition, stream: Stream, items: list[Item]) -> None:
        """Observe the ages of an even sample: each by itself would cost more than its decoding."""
        ingested_ms = last_ingested_ms(items)
        if ingested_ms is not None:
            self.ingested_ms[partition] = ingested_ms
        now_us, age = self._clock.now_us(), metrics.RECORD_AGE.labels(SERVICE, stream)
        for _, content in items[:: 1 + len(items) // _AGES_PER_BATCH]:
            if not isinstance(content, str):
                age.observe(max(0, now_us - content.ingested_at) / 1_000_000)
