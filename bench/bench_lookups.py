"""Lookups by id: against a route of the same server with a bare find_one, and how long one takes at a steady rate."""

from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec
from harness.figures import Figure, figure, percentile
from harness.load import Connection, as_fast_as_it_goes, at_a_rate, connected, request
from harness.product import Product, running_product, start_with_bare_routes
from pymongo import AsyncMongoClient
from spine_workload import messages

from common.contracts import RecordB, StoredB
from common.settings import MongoSettings

ROUNDS = 9
STORED = 50_000
REQUESTS = 5_000
CONNECTIONS = 32
PER_SECOND = 200
RESTHEART = 2_700  # requests/s at best that it answered on the machine that the aims were set on
SECONDS = 20


async def run(*, quick: bool) -> list[Figure]:
    rounds, stored, requests, seconds = (1, 2_000, 500, 2) if quick else (ROUNDS, STORED, REQUESTS, SECONDS)
    async with running_product([]) as product:
        ids = await plant(product, stored)
        await start_with_bare_routes(product, "query_api")
        async with connected(product.stack.profile.url("query_api"), CONNECTIONS) as connections:
            return [
                *await _rates(product, connections, ids, rounds, requests),
                *await _latency(product, connections, ids, PER_SECOND * seconds),
            ]


async def plant(product: Product, count: int) -> list[str]:
    """Store `count` records as `documents` would; their ids."""
    settings, records = MongoSettings(mongo_uri=product.stack.mongo_uri), messages(count)
    stored = {
        record.id: _stored(record) for record in (msgspec.json.decode(m.value or b"", type=RecordB) for m in records)
    }
    async with AsyncMongoClient[dict[str, Any]](product.stack.mongo_uri) as client:
        await client[settings.mongo_database]["b"].insert_many(stored.values(), ordered=False)
    return list(stored)


def _stored(record: RecordB) -> dict[str, object]:
    stored = StoredB(
        id=record.id,
        a_id=record.a_id,
        number=record.number,
        text=record.text,
        event_time=record.event_time,
        ingested_at=record.ingested_at,
        content_hash=1,
        first_seen=record.event_time,
    )
    return dict(msgspec.to_builtins(stored))


async def _rates(
    product: Product, connections: Sequence[Connection], ids: Sequence[str], rounds: int, count: int
) -> list[Figure]:
    chance, taken = Random(2), []
    for turn in range(rounds + 1):
        asked = [chance.choice(ids) for _ in range(count)]
        before = product.usage("query-api")
        ours = await as_fast_as_it_goes(connections, [_get(product, f"/v1/b/{one}") for one in asked])
        cpu_s = product.usage("query-api").since(before).cpu_s / count * 1e6
        bare = await as_fast_as_it_goes(connections, [_get(product, f"/bare/{one}") for one in asked])
        taken += [(ours, bare, cpu_s)] if turn else []  # the first warms up
    memory = product.usage("query-api").rss_bytes / 2**20
    return [
        figure(f"lookups, {CONNECTIONS} connections", "requests/s", [ours for ours, _, _ in taken], aim=RESTHEART),
        figure("a bare find_one", "requests/s", [bare for _, bare, _ in taken]),
        figure("lookups, of a bare find_one", "ratio", [ours / bare for ours, bare, _ in taken], aim=1.3),
        figure("lookups, the server", "CPU s/million", [cpu_s for _, _, cpu_s in taken], better="lower"),
        figure("memory of the server", "MiB", [memory], better="lower"),
    ]


async def _latency(product: Product, connections: Sequence[Connection], ids: Sequence[str], count: int) -> list[Figure]:
    chance = Random(3)
    requests = [_get(product, f"/v1/b/{chance.choice(ids)}") for _ in range(count)]
    seconds = await at_a_rate(connections, requests, PER_SECOND)
    return [
        figure(f"median at {PER_SECOND}/s", "ms", [percentile(seconds, 50) * 1000], better="lower"),
        figure(f"p99 at {PER_SECOND}/s", "ms", [percentile(seconds, 99) * 1000], better="lower", aim=20.0),
    ]


def _get(product: Product, path: str) -> bytes:
    return request("GET", path, headers=product.headers)
