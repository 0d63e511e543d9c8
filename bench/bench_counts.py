"""Counts: reading them against the same route with bare ZCOUNTs, among ever more members; and how fresh they are."""

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from fastapi import APIRouter, FastAPI, Response
from harness.figures import Figure, figure, paired, percentile
from redis.asyncio import Redis

from common.bootstrap import ensure_first_key
from common.clock import SystemClock
from common.contracts import Scope, Stream
from common.health import Health
from common.kafka.topics import ensure_topics
from common.settings import KafkaSettings
from common.telemetry import configure_logging
from localstack.testing import Stack, running_servers
from query_api import counts_api
from query_api.settings import QueryApiSettings
from query_api.wiring import assembled
from windows.layout import ALL, HOUR_MS, Generation, freshness_key, generation_key

ROUNDS = 9
REQUESTS = 1_000
MEMBERS = (100_000, 1_000_000, 7_000_000)
PER_SECOND = 200
BASE = "{b:00}"
WEEK_MS = 7 * 24 * HOUR_MS

# Members spread evenly over the past week, a hundred thousand a call.
_PLANT = """
for n = ARGV[1], ARGV[2] - 1 do
    redis.call('ZADD', KEYS[1], ARGV[3] - math.floor(n * ARGV[4]), 'b-' .. string.format('%09d', n))
end
"""


async def run(*, quick: bool) -> list[Figure]:
    configure_logging("bench", "WARNING")  # a line per request would cost both routes more than they differ by
    rounds, requests = (2, 100) if quick else (ROUNDS, REQUESTS)
    members = MEMBERS[:2] if quick else MEMBERS
    figures: list[Figure] = []
    times: list[float] = []
    async with servers() as (stack, settings), app_of(settings) as (app, client):
        add_bare_route(app, stack)
        for count in members:
            await plant(stack, count)
            rates, bare, ratios = await paired(
                rounds, _rate(client, "/v1/counts/b?hours=24", requests), _rate(client, "/bare/b?hours=24", requests)
            )
            p99 = [percentile(await paced(client, requests), 99) * 1000 for _ in range(3)]
            about = f"among {count:,}"
            figures += [
                figure(f"a count {about}", "requests/s", rates, x=count, series="count"),
                figure(f"bare ZCOUNTs {about}", "requests/s", bare, x=count, series="bare"),
                figure(f"a count {about}, of the ceiling", "ratio", ratios, aim=0.7),
                figure(f"p99 at {PER_SECOND}/s {about}", "ms", p99, better="lower", aim=10.0),
            ]
            times.append(1 / sorted(rates)[len(rates) // 2])
        figures.append(
            figure(
                f"time among {members[-1]:,} / {members[0]:,}", "ratio", [times[-1] / times[0]], better="lower", aim=1.5
            )
        )
    return [*figures, *await freshness(200 if quick else 2_000)]


@asynccontextmanager
async def servers() -> AsyncIterator[tuple[Stack, QueryApiSettings]]:
    with tempfile.TemporaryDirectory() as folder:
        async with running_servers(Path(folder)) as stack:
            settings = QueryApiSettings(
                kafka_bootstrap=stack.kafka_bootstrap,
                mongo_uri=stack.mongo_uri,
                redis_url=stack.redis_url,
                secret=secrets.token_hex(32),
            )
            await ensure_topics(settings, partitions=4)
            yield stack, settings


@asynccontextmanager
async def app_of(settings: QueryApiSettings) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    """The query API in this process, spoken to without a network: what is measured is the route."""
    async with assembled(settings, Health(), asyncio.Event()) as app:
        _, token = await app.state.parts.key_ring.make("bench", [Scope.READ])
        headers = {"Authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://query-api", headers=headers) as client:
            yield app, client


def add_bare_route(app: FastAPI, stack: Stack) -> None:
    """The same route, its guards and parameters, with nothing behind them but the ZCOUNT."""
    redis = Redis.from_url(stack.redis_url)
    router = APIRouter(dependencies=counts_api.router.dependencies)

    @router.get("/bare/{stream}")  # noqa: FAST003  # the question takes it
    async def bare(asked: counts_api.InQuery) -> Response:
        pipeline = redis.pipeline(transaction=False)
        pipeline.zcount(BASE + ALL, SystemClock().now_ms() - round((asked.hours or 0) * HOUR_MS), "+inf")
        return Response(msgspec.json.encode({"count": (await pipeline.execute())[0]}), media_type="application/json")

    app.include_router(router)
    app.openapi_schema = None  # the guard against unknown parameters goes by it


async def plant(stack: Stack, count: int) -> None:
    """Windows with `count` members, caught up as of now."""
    now_ms, step = SystemClock().now_ms(), 100_000
    async with Redis.from_url(stack.redis_url) as redis:
        await redis.flushall()
        for first in range(0, count, step):
            await redis.eval(_PLANT, 1, BASE + ALL, first, min(count, first + step), now_ms, WEEK_MS / count)
        generation = Generation(shards=1, partitions=4, horizon_ms=WEEK_MS)
        await redis.set(generation_key("", Stream.B), msgspec.json.encode(generation))
        await redis.hset(freshness_key("", Stream.B), mapping={str(n): now_ms for n in range(4)})
    await asyncio.sleep(1.1)  # what the reader knows of the windows is a second old at most


def _rate(client: httpx.AsyncClient, path: str, requests: int) -> Callable[[], Awaitable[float]]:
    async def measure() -> float:
        started = time.perf_counter()
        for _ in range(requests):
            answer = await client.get(path)
            assert answer.status_code == 200, answer.text  # noqa: S101  # a fast error is no figure
        return requests / (time.perf_counter() - started)

    return measure


async def paced(client: httpx.AsyncClient, requests: int) -> list[float]:
    """Seconds of each request when they are sent at a steady rate, whether earlier ones were answered or not."""
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def one(n: int) -> float:
        due = began + n / PER_SECOND
        await asyncio.sleep(due - loop.time())
        (await client.get("/v1/counts/b?hours=24")).raise_for_status()
        return loop.time() - due

    return await asyncio.gather(*(one(n) for n in range(requests)))


async def freshness(records: int) -> list[Figure]:
    """From a request's first byte to its record being counted, at a steady rate, through every process there is."""
    with tempfile.TemporaryDirectory() as folder:
        async with running_servers(Path(folder)) as stack:
            settings = KafkaSettings(kafka_bootstrap=stack.kafka_bootstrap)
            await ensure_topics(settings, partitions=4)
            await ensure_first_key(settings, stack.profile.key_file)
            await stack.start_services(["ingest", "aggregates"])
            seconds = sorted(await _sent_until_counted(stack, records))
    return [
        figure("sent until counted, median", "ms", [percentile(seconds, 50) * 1000], better="lower"),
        figure("sent until counted, p99", "ms", [percentile(seconds, 99) * 1000], better="lower", aim=250.0),
    ]


async def _sent_until_counted(stack: Stack, records: int) -> list[float]:
    loop = asyncio.get_running_loop()
    token = stack.profile.key_file.read_text().strip()
    url = f"{stack.profile.url('ingest')}/v1/streams/b/records"
    headers = {"Authorization": f"Bearer {token}"}
    waiting: dict[str, float] = {}
    seconds: list[float] = []
    async with (
        httpx.AsyncClient(headers=headers, limits=httpx.Limits(), timeout=60) as client,
        Redis.from_url(stack.redis_url) as redis,
    ):
        watching = asyncio.create_task(_watch(redis, waiting, seconds, records))
        began = loop.time() + 1.0

        async def send(n: int) -> None:
            await asyncio.sleep(began + n / PER_SECOND - loop.time())
            record: dict[str, Any] = {
                "unique_identifier": f"b-{n}",
                "Stream_A_unique_identifier": f"a-{n % 100}",
                "number": n,
                "text": "x" * 200,
            }
            waiting[f"b-{n}"] = loop.time()
            (await client.post(url, json=record)).raise_for_status()

        await asyncio.gather(*(send(n) for n in range(records)))
        await watching
    return seconds


async def _watch(redis: Any, waiting: dict[str, float], seconds: list[float], records: int) -> None:
    """Look, every few milliseconds, which of those under way are counted by now."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(60 + records / PER_SECOND):
        while len(seconds) < records:
            ids = list(waiting)
            scores = await redis.zmscore(BASE + ALL, ids) if ids else []
            for id_, score in zip(ids, scores, strict=True):
                if score is not None:
                    seconds.append(loop.time() - waiting.pop(id_))
            await asyncio.sleep(0.004)
