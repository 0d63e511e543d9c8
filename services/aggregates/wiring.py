"""The composition root: the only place that joins the parts. Tests call it with settings of their own."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from aggregates.audit_lane import AuditLane
from aggregates.fill_lane import FillLane
from aggregates.generations import ensure_layout
from aggregates.settings import AggregatesSettings
from aggregates.store import SERVICE, WindowStore
from aggregates.stream_windows import StreamWindows
from aggregates.upkeep import Upkeep
from aggregates.worker import Worker
from common.clock import Clock, SystemClock
from common.contracts import RECORDS, Stream
from common.health import Health
from common.kafka.batch_loop import BatchLoop
from common.kafka.control import ControlTable
from common.kafka.producer import Producer
from common.kafka.rejections import Rejections
from common.kafka.replay import Replay
from common.kafka.topics import check_topics
from common.process import run_all, telling, until_available
from windows.access import check_redis
from windows.connection import Connection


async def run(settings: AggregatesSettings, stop: asyncio.Event) -> None:
    """Work until `stop` is set, then finish the batch in hand.

    Raises:
        CannotStart: the configuration or the surroundings must change.
        TryLater: Kafka or Redis was not there within a minute.
    """
    async with (
        telling(settings.metrics_host, settings.aggregates_metrics_port) as health,
        assembled(settings, health, SystemClock(), stop) as parts,
    ):
        await run_all(parts, stop)


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
