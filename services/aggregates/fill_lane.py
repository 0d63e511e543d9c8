"""The lane in which new conditions are brought to past records: beside the live one, and never faster than it may."""

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from aggregates.changes import read
from aggregates.filling import Gap, fill_batch, gaps
from aggregates.stream_windows import StreamWindows
from common.clock import Clock
from common.concurrency import pause
from common.contracts import MAX_AHEAD_MS, RECORDS
from common.errors import Reposition, TryLater
from common.kafka.batch_loop import BatchLoop
from common.kafka.batches import Entry, Partition
from common.kafka.replay import Replay

log = structlog.get_logger()

_IDLE_S: Final = 0.5
_BATCH_RECORDS: Final = 500  # what the event loop is kept from live records for: a few milliseconds


class FillLane:
    """Closes the gaps of one stream's revisions, in the partitions that the loop reads."""

    def __init__(
        self, windows: StreamWindows, replay: Replay, loop: BatchLoop, clock: Clock, records_per_second: int
    ) -> None:
        self._windows = windows
        self._replay = replay
        self._loop = loop
        self._clock = clock
        self._records_per_second = records_per_second

    async def run(self, stop: asyncio.Event) -> None:
        """Fill until `stop` is set."""
        while not stop.is_set():
            try:
                pause_s = await self._step()
            except (TryLater, Reposition) as error:
                log.debug("fill_postponed", stream=self._windows.stream, detail=str(error))
                pause_s = _IDLE_S
            await pause(stop, pause_s)

    async def _step(self) -> float:
        """Bring one batch into the first partition that lacks any; returns for how many seconds to rest."""
        if self._windows.settled:
            self._replay.rest()
            return _IDLE_S
        topic = RECORDS[self._windows.stream]
        mine = [partition.number for partition in self._loop.placed() if partition.topic == topic]
        wanted = self._windows.revisions.conditions
        lacking = gaps(await self._windows.store.standing(), wanted, mine) if mine and wanted else []
        if not lacking:
            self._replay.rest()
            return _IDLE_S
        return await self._fill(lacking[0]) / self._records_per_second

    async def _fill(self, gap: Gap) -> int:
        """Bring the next batch of `gap`; returns how many records it had."""
        partition = Partition(RECORDS[self._windows.stream], gap.partition)
        start = gap.start or await self._oldest_of_use(partition)
        entries = await self._replay.read(partition, start, _BATCH_RECORDS) if start < gap.stop else ()
        within = [entry for entry in entries if entry.offset < gap.stop]
        position = await self._behind(partition, gap, start, entries)
        items, _ = read(self._windows.stream, within)  # what is no record was put aside when it came
        await fill_batch(self._windows.store, self._windows.revisions, gap, items, position)
        return len(within)

    async def _behind(self, partition: Partition, gap: Gap, start: int, entries: Sequence[Entry]) -> int:
        """The position once `entries`, read from `start` on, are filled."""
        if entries:
            return min(gap.stop, entries[-1].offset + 1)
        oldest, end = await self._replay.bounds(partition)
        nothing_left = start >= gap.stop or oldest >= gap.stop or end <= start
        return gap.stop if nothing_left else start

    async def _oldest_of_use(self, partition: Partition) -> int:
        """An event time lies a few minutes ahead of its writing at most: nothing older can be within the horizon."""
        oldest_ms = self._clock.now_ms() - self._windows.store.layout.oldest_kept_ms - MAX_AHEAD_MS
        return await self._replay.first_since(partition, oldest_ms)
