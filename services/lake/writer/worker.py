"""Takes one topic into its table, exactly once: reads from where the table says, commits rows and positions as one.

Whatever goes wrong, what is pending is dropped and the table is asked anew: it alone knows what is in it.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from common import metrics
from common.clock import Clock
from common.concurrency import pause
from common.contracts import RECORDS
from common.errors import CannotStart, Reposition, TryLater
from common.kafka.batches import Partition
from common.kafka.follower import Follower
from common.kafka.progress import Progress, now
from common.kafka.rejections import Rejections, put_aside
from lake.writer.log_table import SERVICE, LogTable
from lake.writer.pending import Due, Pending, ages_of
from lake.writer.rows import read

log = structlog.get_logger()

_READ_RECORDS: Final = 10_000
_LONGEST_WAIT_MS: Final = 500
_REVIEW_EVERY_S: Final = 2.0
_AGES_PER_BATCH: Final = 20


class StreamWriter:
    """The writer of one stream's log table."""

    def __init__(self, table: LogTable, follower: Follower, rejections: Rejections, clock: Clock, due: Due) -> None:
        self._table = table
        self._follower = follower
        self._rejections = rejections
        self._clock = clock
        self._due = due
        self._topic = RECORDS[table.stream]
        self._pending = Pending({})
        self._progress = Progress()
        self._partitions: set[int] = set()
        self._review_at = 0.0
        self._trouble: str | None = "it has not read the table yet"

    def problem(self) -> str | None:
        """Readiness: what keeps this writer from its work, or None."""
        return self._trouble

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; what is pending then is committed first.

        Raises:
            CannotStart: the log ends before what the table holds: it is another one.
        """
        while not stop.is_set():
            try:
                await self._place()
                await self._follow(stop)
            except Reposition as moved:
                log.warning("position_moved", stream=self._table.stream, detail=str(moved))
            except TryLater as error:
                await self._wait(error, stop)

    async def _place(self) -> None:
        positions = await asyncio.to_thread(self._table.positions)
        self._check(positions, await self._follower.bounds())
        await self._follower.place(positions)
        self._pending = Pending(positions)
        log.info("placed", stream=self._table.stream, positions=positions)

    def _check(self, positions: Mapping[int, int], bounds: Mapping[int, tuple[int, int]]) -> None:
        """A log that begins anew would give other rows the offsets of those that the table has."""
        for partition, position in positions.items():
            _, end = bounds.get(partition, (0, 0))
            if position > end:
                raise CannotStart(
                    f"{self._topic}/{partition} ends at {end}, and the lake holds it up to {position}: it is another "
                    "log. Give the lake another TWINSTREAM_LAKE_WAREHOUSE and catalog, or Kafka its topic back."
                )
        self._partitions = set(bounds)

    async def _follow(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            wait_ms = min(_LONGEST_WAIT_MS, int(self._pending.wait_s(self._due, now()) * 1000) + 1)
            for number, entries in (await self._follower.read(_READ_RECORDS, wait_ms)).items():
                await self._look_for_a_gap(number, entries[0].offset)
                rows = read(self._table.stream, number, entries)
                self._pending.take(Partition(self._topic, number), rows, entries[-1].offset + 1, now())
            if self._pending.is_due(self._due, now()):
                await self._commit()
            if now() >= self._review_at:
                await self._review()
        if self._pending.next_offsets:
            await self._commit()

    async def _look_for_a_gap(self, number: int, found: int) -> None:
        """Note down what retention took before its turn came; what else may be skipped was no message."""
        position = self._pending.positions.get(number, found)
        if position < found and (await self._follower.bounds())[number][0] > position:
            self._pending.gaps[number] = (position, found)

    async def _commit(self) -> None:
        pending = self._pending
        now_ms = self._clock.now_ms()
        # Before the commit: were the position to move first, a crash in between would lose them for good.
        await self._rejections.put(
            [
                put_aside(refusal, partition, self._table.stream, service=SERVICE, now_ms=now_ms)
                for partition, refusal in pending.refusals
            ]
        )
        began = now()
        await asyncio.to_thread(self._table.append, pending.batches, pending.believed, pending.positions, pending.gaps)
        took_s = now() - began
        self._pending = Pending(pending.positions)
        self._progress.moved_to(0)
        self._trouble = None
        self._count(pending, took_s)

    async def _review(self) -> None:
        """Tell how far we are, and notice partitions that the topic was given."""
        bounds = await self._follower.bounds()
        for number, (start, end) in bounds.items():
            lag = max(0, end - max(self._pending.believed.get(number, 0), start))
            metrics.LAG.labels(SERVICE, self._topic, str(number)).set(lag)
        if bounds.keys() != self._partitions:
            raise Reposition(f"{self._topic} has {len(bounds)} partitions by now")
        self._trouble = None
        self._review_at = now() + _REVIEW_EVERY_S

    async def _wait(self, error: TryLater, stop: asyncio.Event) -> None:
        self._progress.back_off()
        self._trouble = str(error)
        metrics.STORE_FAILURES.labels(SERVICE).inc()
        log.warning("store_away", stream=self._table.stream, detail=str(error), wait_s=self._progress.backoff_s)
        await pause(stop, self._progress.resume_at - now())

    def _count(self, pending: Pending, took_s: float) -> None:
        stream = self._table.stream
        outcomes = {
            "applied": pending.rows - pending.erased,
            "erased": pending.erased,
            "rejected": len(pending.refusals),
        }
        for outcome, count in outcomes.items():
            metrics.APPLIED.labels(SERVICE, stream, outcome).inc(count)
        age = metrics.RECORD_AGE.labels(SERVICE, stream)
        for seconds in ages_of(pending.batches, self._clock.now_us(), _AGES_PER_BATCH):
            age.observe(seconds)
        log.info("committed", stream=stream, rows=pending.rows, seconds=round(took_s, 4), positions=pending.positions)
