"""When the audit runs: by itself once an hour, and `python -m aggregates.audit_lane` at once, for a look."""

import asyncio
import random
import sys
from contextlib import AsyncExitStack
from typing import Final

import structlog

from aggregates.audit import Audit
from aggregates.audit_documents import Audited
from aggregates.generations import ensure_layout
from aggregates.revisions import choose, none_yet
from aggregates.settings import AggregatesSettings
from aggregates.store import SERVICE, WindowStore
from aggregates.stream_windows import StreamWindows
from auditing.documents import Documents
from auditing.report import exit_status
from common.clock import Clock, SystemClock
from common.concurrency import pause
from common.contracts import RECORDS, Condition, Stream
from common.errors import Reposition, TryLater
from common.kafka.batch_loop import BatchLoop
from common.kafka.batches import Partition
from common.kafka.control import ControlTable
from common.kafka.producer import Producer
from common.kafka.replay import Replay
from common.process import main
from common.settings import MongoSettings
from windows.connection import Connection

log = structlog.get_logger()

_EVERY_S: Final = 3600.0


class AuditLane:
    """Audits one stream's windows while the loop fills them."""

    def __init__(  # noqa: PLR0913  # by name, each once, from the composition root
        self,
        settings: MongoSettings,
        windows: StreamWindows,
        *,
        connection: Connection,
        replay: Replay,
        loop: BatchLoop,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._windows = windows
        self._connection = connection
        self._replay = replay
        self._loop = loop
        self._clock = clock

    async def run(self, stop: asyncio.Event) -> None:
        """Audit once an hour until `stop` is set; of several workers, the one with the first partition does."""
        while not stop.is_set():
            await pause(stop, _EVERY_S)
            if stop.is_set() or Partition(RECORDS[self._windows.stream], 0) not in self._loop.placed():
                continue
            layout, chance = self._windows.store.layout, random.Random()  # noqa: S311  # a sample, no secret
            audit = Audit(self._connection, layout, replay=self._replay, clock=self._clock, chance=chance)
            try:
                async with Documents(self._settings, self._windows.stream, SERVICE) as documents:
                    await audit.run(self._windows.revisions, documents)
            except (TryLater, Reposition) as error:
                log.warning("audit_postponed", stream=self._windows.stream, detail=str(error))


async def run(settings: AggregatesSettings, _stop: asyncio.Event) -> None:
    """Audit both streams once; exits with 1 when anything drifted, with 3 when something could not be compared."""
    clock, connection, producer = SystemClock(), Connection(settings), Producer(settings)
    control, replay = ControlTable(settings, producer, clock), Replay(settings)
    async with AsyncExitStack() as stack:
        for part in (connection.close, producer.stop, control.stop, replay.stop):
            stack.push_async_callback(part)
        await producer.start()
        await control.start()
        await replay.start()
        audited = [await _once(settings, stream, connection, control, replay) for stream in Stream]
    drift, left_out = any(one.drift for one in audited), any(one.left_out for one in audited)
    if status := exit_status(drift=drift, left_out=left_out):
        sys.exit(status)


async def _once(
    settings: AggregatesSettings, stream: Stream, connection: Connection, control: ControlTable, replay: Replay
) -> Audited:
    layout = await ensure_layout(connection, settings, stream)
    standing = await WindowStore(connection, layout).standing()
    revisions = choose(
        none_yet(stream),
        control=control.next_offset,
        newest={e.version: e.value for e in control.of(Condition) if e.value.stream is stream},
        stored=standing.conditions(),
        whole=standing.whole(),
    )
    chance = random.Random()  # noqa: S311  # a sample, no secret
    audit = Audit(connection, layout, replay=replay, clock=SystemClock(), chance=chance)
    async with Documents(settings, stream, SERVICE) as documents:
        return await audit.run(revisions, documents)


if __name__ == "__main__":
    main("audit", AggregatesSettings, run)
