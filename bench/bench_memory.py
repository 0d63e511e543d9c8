"""Memory: what each process holds after a million records, and after ten times as many of the same ids."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from aggregates_workload import taken_in as counted
from bench_documents import position as stored
from harness.figures import Figure, figure
from harness.load import Connection, as_fast_as_it_goes, connected, request
from harness.product import Product, running_product
from pymongo import AsyncMongoClient
from redis.asyncio import Redis
from spine_workload import batches

from common.settings import MongoSettings
from localstack.services import SERVICES

BATCH = 1_000
IDS = 200  # few, so that what grows is not what is kept, and every store can follow
A_STEP = 100_000  # sent, then waited for until every store has them
LOOKUPS_A_STEP = 500
SHOWN = (1, 2, 5, 10, 20, 50, 100)  # steps after which memory is told
FLAT = 1.1
DEADLINE_S = 300.0


async def run(*, quick: bool) -> list[Figure]:
    shown = SHOWN[:3] if quick else SHOWN
    first, last = shown[0 if quick else 3], shown[-1]
    async with running_product(list(SERVICES)) as product:
        memory = await _memory(product, shown)
    figures: list[Figure] = []
    for name, by_step in memory.items():
        for step in shown:
            records = step * A_STEP
            about = f"{name} after {records:,}"
            figures.append(figure(about, "MiB", [by_step[step]], better="lower", x=records, series=name))
        flat = [by_step[last] / by_step[first]]
        figures.append(
            figure(f"{name}, {last * A_STEP:,} / {first * A_STEP:,}", "ratio", flat, better="lower", aim=FLAT)
        )
    return figures


async def _memory(product: Product, shown: Sequence[int]) -> Mapping[str, Mapping[int, float]]:
    """MiB of each process after so many steps."""
    stack, memory = product.stack, defaultdict[str, dict[int, float]](dict)
    posts = [
        request("POST", "/v1/streams/b/records", body, product.headers | {"content-type": "application/x-ndjson"})
        for body in batches(A_STEP, BATCH, ids=IDS)
    ]
    gets = [request("GET", f"/v1/b/b-{Random(n).randrange(IDS):09}", headers=product.headers) for n in range(IDS)]
    async with (
        connected(stack.profile.url("ingest"), 4) as sending,
        connected(stack.profile.url("query_api"), 8) as looking,
        AsyncMongoClient[dict[str, Any]](product.stack.mongo_uri) as mongo,
        Redis.from_url(stack.redis_url) as redis,
    ):
        database = mongo[MongoSettings().mongo_database]
        for step in range(1, shown[-1] + 1):
            await as_fast_as_it_goes(sending, posts, 202)
            await _caught_up(database, redis, step * A_STEP)
            await _looked_up(looking, gets)
            if step in shown:
                for name in product.names:
                    memory[name][step] = product.usage(name).rss_bytes / 2**20
    return memory


async def _caught_up(database: Any, redis: Any, count: int) -> None:
    deadline = time.perf_counter() + DEADLINE_S
    while min(await stored(database), await counted(redis)) < count:
        if time.perf_counter() > deadline:
            raise TimeoutError(f"{await stored(database)} stored and {await counted(redis)} counted of {count}")
        await asyncio.sleep(0.05)


async def _looked_up(connections: Sequence[Connection], requests: Sequence[bytes]) -> None:
    await as_fast_as_it_goes(connections, [*requests] * (LOOKUPS_A_STEP // len(requests)))
