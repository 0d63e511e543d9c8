"""The composition root: the only place that joins the parts. Tests call it with settings of their own."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from aggregates.audit_lane import AuditLane
from aggregates.fill_lane import FillLane
from aggregates.generations import ensure_layout
from aggregates.settings import AggregatesSettings
from aggregates.store import SERVICE, WindowStore
from aggregates.stream_windows import StreamWindows
from aggregates.upkeep import Upkeep
from aggregates.worker import Worker
from common.clock import Clock, SystemClock
from common.concurrency import all_of
from common.contracts import RECORDS, Stream
from common.health import Health, StatusServer
from common.kafka.batch_loop import BatchLoop
from common.kafka.control import ControlTable
from common.kafka.producer import Producer
from common.kafka.rejections import Rejections
from common.kafka.replay import Replay
from common.kafka.topics import check_topics
from common.process import until_available
from windows.access import check_redis
from windows.connection import Connection


async def run(settings: AggregatesSettings, stop: asyncio.Event) -> None:
    """Work until `stop` is set, then finish the batch in hand.

    Raises:
        CannotStart: the configuration or the surroundings must change.
        TryLater: Kafka or Redis was not there within a minute.
    """
    health = Health()
    status = StatusServer(settings.metrics_host, settings.aggregates_metrics_port, health)
    status.start()
    beating = asyncio.create_task(health.beat(), name="heartbeat")
    try:
        async with assembled(settings, health, SystemClock(), stop) as parts:
            await all_of([_ending_all(part.run(stop), stop) for part in parts])
    finally:
        beating.cancel()
        status.stop()


async def _ending_all(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    """When one part ends, for whatever reason, the process does: half a worker looks alive and is not."""
    try:
        await work
    finally:
        stop.set()


@asynccontextmanager
async def assembled(
    settings: AggregatesSettings, health: Health, clock: Clock, stop: asyncio.Event
) -> AsyncGenerator[Sequence[BatchLoop | Upkeep | FillLane | AuditLane]]:
    """What runs side by side, once Kafka and Redis are there; what it works with is closed again on the way out."""
    connection, producer = Connection(settings), Producer(settings)
    control = ControlTable(settings, producer, clock)
    replays = {stream: Replay(settings) for stream in Stream}
    audit_replays = {stream: Replay(settings) for stream in Stream}
    async with AsyncExitStack() as stack:
        stack.push_async_callback(connection.close)
        await until_available(partial(check_redis, settings), stop)
        await until_available(partial(check_topics, settings), stop)
        stack.push_async_callback(producer.stop)
        await until_available(producer.start, stop)
        stack.push_async_callback(control.stop)
        await until_available(control.start, stop)
        windows = {}
        for stream, replay in replays.items():
            for one in (replay, audit_replays[stream]):
                stack.push_async_callback(one.stop)
                await until_available(one.start, stop)
            layout = await until_available(partial(ensure_layout, connection, settings, stream), stop)
            windows[stream] = StreamWindows(WindowStore(connection, layout), stream, clock)
        worker = Worker(windows, Rejections(producer), clock)
        loop = BatchLoop(
            settings,
            group=SERVICE,
            topics=list(RECORDS.values()),
            handler=worker,
            max_records=settings.aggregates_batch_records,
        )
        upkeeps = [
            Upkeep(
                windows[stream],
                connection=connection,
                control=control,
                loop=loop,
                worker=worker,
                clock=clock,
                trim_ids=settings.trim_ids,
            )
            for stream in Stream
        ]
        lanes = [
            FillLane(windows[stream], replays[stream], loop, clock, settings.fill_records_per_second)
            for stream in Stream
        ]
        audits = [
            AuditLane(
                settings, windows[stream], connection=connection, replay=audit_replays[stream], loop=loop, clock=clock
            )
            for stream in Stream
        ]
        for upkeep in upkeeps:
            await until_available(upkeep.learn, stop)
        health.add("worker", loop.problem)
        health.add("control", control.problem)
        yield [loop, *upkeeps, *lanes, *audits]
