"""The composition root: the only place that joins the parts. Tests call it with settings of their own."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

import msgspec

from common import metrics
from common.clock import Clock, SystemClock
from common.contracts import ALERTS, ControlKind
from common.destinations import Destination, DestinationKind, Silence
from common.health import Health
from common.kafka.batch_loop import BatchLoop
from common.kafka.control import ControlTable
from common.kafka.producer import Producer
from common.kafka.topics import check_topics, count_partitions
from common.process import run_all, telling, until_available
from common.sealing import Seal
from signals.notifier.connections import guarded_session
from signals.notifier.dispatcher import Dispatcher
from signals.notifier.documents import Keeping
from signals.notifier.intake import Intake
from signals.notifier.lane import LaneParts
from signals.notifier.mongo import SERVICE
from signals.notifier.settings import NotifierSettings
from signals.notifier.slack import SlackSender
from signals.notifier.store import Store
from signals.notifier.webhooks import WebhookSender
from signals.notifier.writing import Writing

_KINDS: Final[dict[ControlKind, type[msgspec.Struct]]] = {
    ControlKind.DESTINATION: Destination,
    ControlKind.SILENCE: Silence,
}


async def run(settings: NotifierSettings, stop: asyncio.Event) -> None:
    """Work until `stop` is set, then finish what is in hand.

    Raises:
        CannotStart: the configuration or the surroundings must change.
        TryLater: Kafka or MongoDB was not there within a minute.
    """
    for kind in DestinationKind:  # a counter that begins at its first event would show no increase by it
        metrics.DELIVERIES_GIVEN_UP.labels(kind)
        metrics.DESTINATIONS_GIVEN_UP.labels(kind)
    async with (
        telling(settings.metrics_host, settings.notifier_metrics_port) as health,
        assembled(settings, health, SystemClock(), stop) as parts,
    ):
        await run_all(parts, stop)


@asynccontextmanager
async def assembled(
    settings: NotifierSettings, health: Health, clock: Clock, stop: asyncio.Event
) -> AsyncGenerator[Sequence[BatchLoop | Dispatcher]]:
    """What runs side by side, once Kafka and MongoDB are there; closed again on the way out."""
    producer, store, me = Producer(settings), Store(settings), f"{SERVICE}-{secrets.token_hex(6)}"
    control = ControlTable(settings, producer, clock, types=_KINDS)
    async with AsyncExitStack() as stack:
        for part in (store.close, producer.stop, control.stop):
            stack.push_async_callback(part)
        http = await stack.enter_async_context(guarded_session(allow_loopback=settings.webhook_allow_loopback))
        await until_available(partial(check_topics, settings), stop)
        await until_available(producer.start, stop)
        await until_available(control.start, stop)
        await until_available(store.prepare, stop)
        partitions = await until_available(partial(count_partitions, settings, ALERTS), stop)
        seal, timeout_ms = Seal(settings.secret_bytes), settings.send_timeout_ms
        slack = SlackSender(http, seal, clock, base_url=settings.slack_base_url, timeout_ms=timeout_ms)
        webhooks = WebhookSender(http, seal, clock, timeout_ms)
        writing = Writing(lambda deliveries: store.deliveries.save(deliveries, me))
        lanes = LaneParts(me, store, control, writing, clock, settings)
        dispatcher = Dispatcher(
            lanes,
            {DestinationKind.SLACK: slack, DestinationKind.WEBHOOK: webhooks},
            owned=lambda: _numbers(loop),
            partitions=partitions,
        )
        loop = BatchLoop(
            settings,
            group=SERVICE,
            topics=[ALERTS],
            handler=Intake(store, dispatcher, clock, _keeping(settings)),
            max_records=settings.notifier_batch_alerts,
        )
        health.add("worker", loop.problem)
        health.add("control", control.problem)
        yield [loop, dispatcher]


def _numbers(loop: BatchLoop) -> set[int]:
    """The partitions of `alerts` that Kafka gave us."""
    return {partition.number for partition in loop.placed()}


def _keeping(settings: NotifierSettings) -> Keeping:
    return Keeping(
        notify_within_ms=round(settings.notify_within_hours * 3_600_000),
        alerts_days=settings.alerts_kept_days,
        deliveries_days=settings.deliveries_kept_days,
    )
