"""The composition root: the only place that joins the parts. Tests call it with settings of their own."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from common.clock import Clock, SystemClock
from common.contracts import RECORDS, ControlKind
from common.health import Health
from common.kafka.batch_loop import BatchLoop
from common.kafka.control import ControlTable
from common.kafka.group_offsets import GroupOffsets
from common.kafka.producer import Producer
from common.kafka.rejections import Rejections
from common.kafka.topics import check_topics
from common.process import run_all, telling, until_available
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
    async with (
        telling(settings.metrics_host, settings.scan_metrics_port) as health,
        assembled(settings, health, SystemClock(), stop) as parts,
    ):
        await run_all(parts, stop)


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
