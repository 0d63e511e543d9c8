"""Scans what comes in: the handler of a batch."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Final

import msgspec

from common import metrics
from common.alerts import erasure_keys
from common.clock import Clock
from common.contracts import ALERTS, RECORDS, SCAN, Stream
from common.kafka.batches import Batch, Entry, Partition
from common.kafka.group_offsets import GroupOffsets
from common.kafka.producer import Message, Producer
from common.kafka.rejections import Rejections, put_aside
from signals.scan.rules_in_force import RulesInForce
from signals.scan.scanning import Scanned, scan

SERVICE: Final = SCAN

_STREAMS: Final = {topic: stream for stream, topic in RECORDS.items()}


class Worker:
    """Writes the alerts of each batch to the log before the position moves: at least once, always under the same ids.

    Results are in Kafka, and so is the position: the group's offset, which the loop commits every few seconds. What was
    done since is known here, and done again after a crash.
    """

    def __init__(  # noqa: PLR0913  # by name, each once, from the composition root
        self,
        rules: RulesInForce,
        *,
        producer: Producer,
        rejections: Rejections,
        committed: GroupOffsets,
        lane: Executor,
        clock: Clock,
    ) -> None:
        """`lane` has one thread: a snapshot of rules belongs to one at a time, and it is not the loop's."""
        self._rules = rules
        self._producer = producer
        self._rejections = rejections
        self._committed = committed
        self._lane = lane
        self._clock = clock
        self._done: dict[Partition, int] = {}

    async def positions(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        committed = await self._committed.read(partitions)
        return {p: max(committed.get(p, 0), self._done.get(p, 0)) for p in partitions}

    async def apply(self, batch: Batch) -> None:
        """Write the alerts of `batch`, and put aside what cannot be taken.

        Raises:
            TryLater: Kafka is away, or no rules are in force yet.
        """
        left = batch.entries
        while left:
            left = left[await self._write(batch.partition, left) :]
        self._done[batch.partition] = batch.next_position

    async def _write(self, partition: Partition, entries: Sequence[Entry]) -> int:
        """Write the alerts of the first of `entries`, as many as a write takes; returns how many messages that is."""
        stream, now_ms = _STREAMS[partition.topic], self._clock.now_ms()
        work = partial(scan, self._rules.matcher, stream, entries, now_ms)
        scanned = await asyncio.get_running_loop().run_in_executor(self._lane, work)
        await self._rejections.put(
            [put_aside(one, partition, stream, service=SERVICE, now_ms=now_ms) for one in scanned.refusals]
        )
        if scanned.alerts:
            await self._producer.publish(ALERTS, list(scanned.alerts.values()))
        if scanned.erased:
            keys = erasure_keys(await self._producer.partitions(ALERTS))
            values = [msgspec.json.encode(one) for one in scanned.erased]
            await self._producer.publish(ALERTS, [Message(key, value, now_ms) for value in values for key in keys])
        self._count(stream, scanned)
        return scanned.taken

    def _count(self, stream: Stream, scanned: Scanned) -> None:
        outcomes = {"applied": scanned.records, "erased": len(scanned.erased), "rejected": len(scanned.refusals)}
        for outcome, count in outcomes.items():
            metrics.APPLIED.labels(SERVICE, stream, outcome).inc(count)
        for rule in scanned.hits.keys() & self._rules.names:  # one that is gone meanwhile has no metric any more
            metrics.RULE_HITS.labels(rule, stream).inc(scanned.hits[rule])
        metrics.ALERTS_WRITTEN.labels(stream).inc(len(scanned.alerts))
        metrics.SLOW_SCANS.labels(stream).inc(scanned.slow)
        now_us, age = self._clock.now_us(), metrics.RECORD_AGE.labels(SERVICE, stream)
        for ingested_us in scanned.ingested_us:
            age.observe(max(0, now_us - ingested_us) / 1_000_000)
