"""The composition root: the only place that joins the parts. Tests call it with settings of their own."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from fastapi import FastAPI

from common.clock import Clock, IncreasingClock, SystemClock
from common.concurrency import all_of
from common.health import Health
from common.http.app import create_app, serve
from common.http.auth import Authenticator
from common.http.oidc import IssuerTokens
from common.kafka.control import ControlTable
from common.kafka.producer import Producer
from common.kafka.rejections import Rejections
from common.kafka.topics import check_topics
from common.process import telling, unless_refused, until_available
from ingest.api import Limits, add_routes
from ingest.budget import Budget
from ingest.documentation import DESCRIPTION, SCHEMAS
from ingest.idempotency import IdempotencyKeys
from ingest.intake import SERVICE, Intake
from ingest.settings import IngestSettings
from throttling.throttle import throttled
from windows.access import check_redis


async def run(settings: IngestSettings, stop: asyncio.Event) -> None:
    """Take in records until `stop` is set, then finish what is in flight and flush it.

    Raises:
        CannotStart: the configuration or the surroundings must change.
        TryLater: Kafka was not there within a minute.
    """
    listening = asyncio.Event()
    async with telling(settings.metrics_host, settings.ingest_metrics_port) as health:
        health.add("http", lambda: None if listening.is_set() else "not listening yet")
        async with assembled(settings, health, SystemClock(), stop) as app:
            await serve(app, settings.host, settings.ingest_port, stop, listening, drain_ms=settings.drain_ms)


@asynccontextmanager
async def assembled(
    settings: IngestSettings, health: Health, clock: Clock, stop: asyncio.Event
) -> AsyncGenerator[FastAPI]:
    """The app with all that it works with, once Kafka is there; flushed and closed on the way out."""
    idempotency = IdempotencyKeys(settings, clock)
    producer = Producer(settings)
    control = ControlTable(settings, producer, clock)
    health.add("control", control.problem)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(producer.stop)
        stack.push_async_callback(control.stop)
        stack.push_async_callback(idempotency.close)
        await all_of(
            [until_available(partial(check_topics, settings), stop), unless_refused(partial(check_redis, settings))]
        )
        await until_available(producer.start, stop)
        await until_available(control.start, stop)
        throttle = await stack.enter_async_context(throttled(settings, settings, clock))
        intake = Intake(
            producer, Rejections(producer), IncreasingClock(clock), max_record_bytes=settings.max_record_bytes
        )
        app = create_app(
            SERVICE,
            title="Twinstream ingest",
            description=DESCRIPTION,
            authenticator=Authenticator(control, IssuerTokens(settings) if settings.oidc_issuer else None),
            health=health,
            throttle=throttle,
            origins=settings.origins,
            schemas=SCHEMAS,
        )
        add_routes(
            app,
            intake,
            idempotency,
            Limits(settings.max_body_bytes, settings.max_records, Budget(settings.max_bytes_in_hand)),
        )
        yield app
