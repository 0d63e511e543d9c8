"""What must happen without any record coming: conditions that change, windows that decay, telling how fresh we are."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog

from aggregates.revisions import choose, superseded
from aggregates.store import WindowStore
from aggregates.stream_windows import StreamWindows
from aggregates.worker import Worker
from common.clock import Clock
from common.concurrency import pause
from common.contracts import RECORDS, Condition
from common.errors import Reposition, TryLater
from common.kafka.batch_loop import BatchLoop
from common.kafka.batches import Partition
from common.kafka.control import ControlTable
from windows.connection import Connection
from windows.counts import LINGER_S, read_layout
from windows.standing import Standing

log = structlog.get_logger()


class Duty(NamedTuple):
    """Something to do again and again."""

    every_s: float
    perform: Callable[[], Awaitable[None]]


class Upkeep:
    """Looks after one stream's windows while the loop fills them."""

    def __init__(  # noqa: PLR0913  # by name, each once, from the composition root
        self,
        windows: StreamWindows,
        *,
        connection: Connection,
        control: ControlTable,
        loop: BatchLoop,
        worker: Worker,
        clock: Clock,
        trim_ids: int,
    ) -> None:
        self._windows = windows
        self._connection = connection
        self._control = control
        self._loop = loop
        self._worker = worker
        self._clock = clock
        self._trim_ids = trim_ids
        self._superseded_at: dict[int, float] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Do what is due until `stop` is set."""
        duties = (
            Duty(0.25, self.tell),
            Duty(0.5, self.learn),
            Duty(5.0, self.count_late),
            Duty(5.0, self.drop),
            Duty(30.0, self.trim),
        )
        async with asyncio.TaskGroup() as group:
            for duty in duties:
                group.create_task(_repeat(duty, stop))

    async def learn(self) -> None:
        """Follow control and the shards: which generation is in force, which revisions are evaluated."""
        layout = await read_layout(self._connection, self._windows.store.layout.prefix, self._windows.stream)
        if layout is not None and layout != self._windows.store.layout:
            log.info("generation_switched", stream=self._windows.stream, number=layout.generation.number)
            self._windows.store, self._windows.settled = WindowStore(self._connection, layout), False
        control = self._control.next_offset
        if self._windows.settled and not self._windows.stale and control == self._windows.revisions.control:
            return
        await self._choose(control)

    async def _choose(self, control: int) -> None:
        standing = await self._windows.store.standing()
        newest = {entry.version: entry.value for entry in self._control.of(Condition)}
        self._windows.stale = False
        self._windows.revisions = revisions = choose(
            self._windows.revisions,
            control=control,
            newest={n: condition for n, condition in newest.items() if condition.stream is self._windows.stream},
            stored=standing.conditions(),
            whole=standing.whole(),
        )
        self._windows.settled = revisions.conditions.keys() <= standing.whole()
        await self._go_live(standing)

    async def _go_live(self, standing: Standing) -> None:
        """Partitions where nothing comes must learn of conditions too: what is filled is counted from there."""
        wanted = self._windows.revisions.conditions.keys()
        for partition, position in self._mine().items():
            if not all(shard.live_in(partition.number) >= wanted for shard in standing.shards):
                await self._windows.go_live(partition.number, position)

    async def tell(self) -> None:
        """Up to when is everything counted: a partition at its end as of now, any other as of its last record."""
        caught_up, told = self._loop.caught_up_ms(), {}
        for partition in self._mine():
            moment = caught_up.get(partition, self._worker.ingested_ms.get(partition))
            if moment is not None:
                told[partition.number] = moment
        await self._windows.store.tell(told)

    async def count_late(self) -> None:
        if self._leads():
            await self._windows.store.tell({}, await self._windows.store.late(self._clock.now_ms()))

    async def trim(self) -> None:
        """Forget what has left the horizon, in slices that nobody has to wait for."""
        if not self._leads():
            return
        store = self._windows.store
        oldest_ms = self._clock.now_ms() - store.layout.oldest_kept_ms
        while (gone := await store.trim(oldest_ms, self._trim_ids)) == self._trim_ids:
            log.debug("trimmed", stream=self._windows.stream, ids=gone)

    async def drop(self) -> None:
        """Forget revisions of no more use, once no reader can be about to ask for them."""
        if not self._leads():
            return
        now = asyncio.get_running_loop().time()
        standing = await self._windows.store.standing()
        useless = superseded(self._windows.revisions, standing.conditions())
        self._superseded_at = {n: self._superseded_at.get(n, now) for n in useless}
        for revision, since in self._superseded_at.items():
            if now - since >= LINGER_S:
                while gone := await self._windows.store.drop(revision, self._trim_ids):
                    log.debug("revision_shrinks", stream=self._windows.stream, revision=revision, ids=gone)
                log.info("revision_dropped", stream=self._windows.stream, revision=revision)

    def _mine(self) -> dict[Partition, int]:
        """The partitions of this stream that are ours, and where they stand."""
        topic = RECORDS[self._windows.stream]
        return {partition: position for partition, position in self._loop.placed().items() if partition.topic == topic}

    def _leads(self) -> bool:
        """Whoever has the first partition does what is needed once only. Two would do no harm."""
        return Partition(RECORDS[self._windows.stream], 0) in self._mine()


async def _repeat(duty: Duty, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await duty.perform()
        except (TryLater, Reposition) as error:
            log.debug("upkeep_postponed", duty=duty.perform.__name__, detail=str(error))
        await pause(stop, duty.every_s)
