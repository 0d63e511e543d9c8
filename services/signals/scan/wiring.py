"""The composition root: the only place that joins the parts. Tests call it with settings of their own."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from common.clock import Clock, SystemClock
from common.concurrency import all_of
from common.contracts import RECORDS, ControlKind
from common.health import Health, StatusServer
from common.kafka.batch_loop import BatchLoop
from common.kafka.control import ControlTable
from common.kafka.group_offsets import GroupOffsets
from common.kafka.producer import Producer
from common.kafka.rejections import Rejections
from common.kafka.topics import check_topics
from common.process import until_available
from matching.rules import Rule
from signals.scan.rules_in_force import RulesInForce
from signals.scan.settings import ScanSettings
from signals.scan.worker import SERVICE, Worker


async def run(settings: ScanSettings, stop: asyncio.Event) -> None:
    """Work until `stop` is set, then finish the batch in hand.

    Raises:
        CannotStart: the configuration or the surroundings must change.
        TryLater: Kafka was not there within a minute.
    """
    health = Health()
    status = StatusServer(settings.metrics_host, settings.scan_metrics_port, health)
    status.start()
    beating = asyncio.create_task(health.beat(), name="heartbeat")
    try:
        async with assembled(settings, health, SystemClock(), stop) as parts:
            await all_of([_ending_all(part.run(stop), stop) for part in parts])
    finally:
        beating.cancel()
        status.stop()


async def _ending_all(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    """When one part ends, for whatever reason, the process does: half a scanner looks alive and is not."""
    try:
        await work
    finally:
        stop.set()


@asynccontextmanager
async def assembled(
    settings: ScanSettings, health: Health, clock: Clock, stop: asyncio.Event
) -> AsyncGenerator[Sequence[BatchLoop | RulesInForce]]:
    """What runs side by side, once Kafka is there and the rules are known; closed again on the way out."""
    producer, committed = Producer(settings), GroupOffsets(settings, SERVICE)
    control = ControlTable(settings, producer, clock, types={ControlKind.RULE: Rule})
    rules = RulesInForce(control)
    async with AsyncExitStack() as stack:
        lane = stack.enter_context(ThreadPoolExecutor(max_workers=1, thread_name_prefix=SERVICE))
        for part in (producer.stop, control.stop, committed.stop):
            stack.push_async_callback(part)
        await until_available(partial(check_topics, settings), stop)
        await until_available(producer.start, stop)
        await until_available(control.start, stop)
        await rules.learn()
        worker = Worker(
            rules, producer=producer, rejections=Rejections(producer), committed=committed, lane=lane, clock=clock
        )
        loop = BatchLoop(
            settings,
            group=SERVICE,
            topics=list(RECORDS.values()),
            handler=worker,
            max_records=settings.scan_batch_records,
        )
        health.add("worker", loop.problem)
        health.add("control", control.problem)
        health.add("rules", rules.problem)
        yield [loop, rules]
