"""The composition root: the only place that joins the parts. Tests call it with settings of their own."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from fastapi import FastAPI

from common.analytics import results_of
from common.clock import SystemClock
from common.concurrency import all_of
from common.contracts import ControlKind, Stream
from common.health import Health
from common.http.app import create_app, serve
from common.http.auth import Authenticator
from common.http.oidc import IssuerTokens
from common.kafka.control import TYPES, ControlTable
from common.kafka.producer import Producer
from common.kafka.topics import check_topics
from common.process import telling, unless_refused, until_available
from common.sealing import Seal
from matching.rules import Rule
from query_api import (
    alert_views,
    alerts_api,
    analytics_api,
    analytics_views,
    backtest_views,
    condition_views,
    conditions_api,
    count_views,
    counts_api,
    deliveries_api,
    destination_views,
    destinations_api,
    erasures_api,
    key_views,
    keys_api,
    lookups,
    rejected_api,
    rejected_views,
    rule_trials_api,
    rule_views,
    rules_api,
    silences_api,
    views,
)
from query_api.alert_log import AlertLog
from query_api.alert_store import AlertStore
from query_api.analytics_store import AnalyticsStore
from query_api.backtests import Backtests
from query_api.coalescing import Coalescer
from query_api.condition_book import ConditionBook
from query_api.cursors import Cursors
from query_api.destination_book import DestinationBook
from query_api.erasures import Erasures
from query_api.examples import EXAMPLES
from query_api.key_ring import KeyRing
from query_api.parts import Parts
from query_api.queries import Queries
from query_api.rejected_store import RejectedStore
from query_api.replays import Replays
from query_api.rule_book import RuleBook
from query_api.rule_trials import RuleTrials
from query_api.settings import QueryApiSettings
from query_api.silence_book import SilenceBook
from query_api.store import Store
from throttling.throttle import Throttle, throttled
from windows.access import check_redis
from windows.connection import Connection
from windows.counts import Counts

SERVICE: Final = "query-api"

_DESCRIPTION: Final = """\
Look up records by their id, alone or many at once, list the B of an A, count in rolling windows, look through what
was rejected and replay it, erase ids, ask the lake in SQL, and manage conditions, rules and API keys.

Every call but those under `health` needs a key: `Authorization: Bearer <key>`. Every error is a problem document
(RFC 9457) with a stable `code`; `docs/errors.md` lists them all. Times are UTC.
"""


async def run(settings: QueryApiSettings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set.

    Raises:
        CannotStart: the configuration must change.
        TryLater: Kafka was not there within a minute. MongoDB may be away at the start: /readyz tells.
    """
    listening = asyncio.Event()
    async with telling(settings.metrics_host, settings.query_api_metrics_port) as health:
        health.add("http", lambda: None if listening.is_set() else "not listening yet")
        async with assembled(settings, health, stop) as app:
            await serve(app, settings.host, settings.query_api_port, stop, listening, drain_ms=settings.drain_ms)


@asynccontextmanager
async def assembled(settings: QueryApiSettings, health: Health, stop: asyncio.Event) -> AsyncIterator[FastAPI]:
    """The app with all that it works with, started; closed again on the way out."""
    store = Store(settings)
    rejected, analytics = RejectedStore(store), AnalyticsStore(store)
    clock = SystemClock()
    redis = Connection(settings)
    counts = Counts(redis, settings.redis_prefix, clock)
    producer, alert_log = Producer(settings), AlertLog(settings)
    control = ControlTable(settings, producer, clock, types={**TYPES, ControlKind.RULE: Rule})
    health.add("control", control.problem)
    health.add("mongo", store.problem)
    async with AsyncExitStack() as stack:
        for part in (redis.close, store.close, producer.stop, control.stop, alert_log.stop):
            stack.push_async_callback(part)
        watching = asyncio.create_task(store.watch(), name="watch")
        stack.callback(watching.cancel)
        await all_of(
            [
                until_available(partial(check_topics, settings), stop),
                unless_refused(store.check),
                unless_refused(partial(check_redis, settings)),
            ]
        )
        await until_available(producer.start, stop)
        await until_available(control.start, stop)
        rules = RuleBook(control)
        parts = Parts(
            store=store,
            single={stream: Coalescer(partial(store.find, stream)) for stream in Stream},
            position=Coalescer(store.positions),
            cursors=Cursors(settings.secret_bytes),
            key_ring=KeyRing(control, clock),
            conditions=ConditionBook(control, clock),
            destinations=DestinationBook(
                control, Seal(settings.secret_bytes), clock, allow_loopback=settings.webhook_allow_loopback
            ),
            silences=SilenceBook(control, clock),
            alerts=AlertStore(store),
            alert_log=alert_log,
            scanned=Coalescer(alert_log.scanned),
            rejected=rejected,
            replays=Replays(rejected, producer, clock, max_record_bytes=settings.max_record_bytes),
            erasures=Erasures(producer, clock),
            rules=rules,
            rule_trials=RuleTrials(rules, clock, settings.max_record_bytes),
            backtests=Backtests(settings, control, clock),
            counts=counts,
            count_position=Coalescer(counts.positions),
            analytics=analytics,
            queries=Queries(
                analytics,
                results_of(settings),
                clock,
                most=settings.max_open_queries,
                most_per_key=settings.max_open_queries_per_key,
            ),
            clock=clock,
        )
        authenticator = Authenticator(control, IssuerTokens(settings) if settings.oidc_issuer else None)
        throttle = await stack.enter_async_context(throttled(settings, settings, clock))
        yield _app(parts, authenticator, health, throttle, settings.origins)


def _app(
    parts: Parts, authenticator: Authenticator, health: Health, throttle: Throttle | None, origins: Sequence[str]
) -> FastAPI:
    app = create_app(
        SERVICE,
        title="Twinstream query API",
        description=_DESCRIPTION,
        authenticator=authenticator,
        health=health,
        throttle=throttle,
        origins=origins,
        schemas=(
            *views.SCHEMAS,
            *key_views.SCHEMAS,
            *count_views.SCHEMAS,
            *condition_views.SCHEMAS,
            *rejected_views.SCHEMAS,
            *rule_views.SCHEMAS,
            *alert_views.SCHEMAS,
            *destination_views.SCHEMAS,
            *backtest_views.SCHEMAS,
            *analytics_views.SCHEMAS,
        ),
        examples=EXAMPLES,
    )
    app.state.parts = parts
    app.include_router(lookups.router)
    app.include_router(keys_api.router)
    app.include_router(counts_api.router)
    app.include_router(conditions_api.reading)
    app.include_router(conditions_api.writing)
    app.include_router(rejected_api.reading)
    app.include_router(analytics_api.router)
    app.include_router(rejected_api.writing)
    app.include_router(erasures_api.router)
    app.include_router(rule_trials_api.router)  # before those whose {name} could be `test`
    app.include_router(rules_api.reading)
    app.include_router(rules_api.writing)
    for api in (alerts_api, deliveries_api, destinations_api, silences_api):
        app.include_router(api.reading)
        app.include_router(api.writing)
    return app
