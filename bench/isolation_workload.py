"""What isolation is measured with: four kinds of requests at steady rates, and queries that take all they can get."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random

import httpx
import msgspec
from bench_signals import WORD
from harness.load import Connection, at_a_rate, connected, request
from harness.product import Product
from spine_workload import bodies

RECORDS_PER_SECOND = 200
LOOKUPS_PER_SECOND = 50
COUNTS_PER_SECOND = 20
ONE_IN = 20  # records with a signal; with one in five SecantusDB has more to write than it can, with or without queries
CONNECTIONS = 16
DEADLINE_S = 90.0
MOST_IDS = 1_000

HOSTILE = (
    "select count(*) from range(10000000) a, range(10000000) b where hash(a.range, b.range) = 1",
    "select repeat('x', 2000000000)",
    "select list_distinct(range(30000000))",
)
AT_ONCE = 2
HOSTILE_TIMEOUT_S = 10.0

Seconds = dict[str, list[float]]


class Load:
    """Requests that leave when they are due, whether earlier ones were answered or not."""

    def __init__(self, product: Product, received: Mapping[str, float]) -> None:
        """`received`: when each alert's record was first told of, by its id."""
        self._product = product
        self._received = received
        self._log = product.stack.profile.logs / "lake-writer.log"
        self._ids: list[str] = []
        self._seed = 0

    async def run(self, seconds: int) -> Seconds:
        """Seconds that each took from when it was due; of commits, that each took."""
        self._seed += 1
        written = self._log.stat().st_size
        async with AsyncExitStack() as stack:
            ingest, query_api = (self._product.stack.profile.url(name) for name in ("ingest", "query_api"))
            sending = await stack.enter_async_context(connected(ingest, CONNECTIONS))
            asking = [await stack.enter_async_context(connected(query_api, CONNECTIONS)) for _ in range(2)]
            records = asyncio.create_task(self._records(sending, seconds))
            lookups = asyncio.create_task(self._lookups(asking[0], seconds))
            counts = asyncio.create_task(self._counts(asking[1], seconds))
            ingested, alerted = await records
            taken = {"ingest": ingested, "lookup": await lookups, "count": await counts, "alert": alerted}
        await self._settled()
        return taken | {"commit": commits(self._log, written)}

    async def _settled(self) -> None:
        """What was sent is found by its id: it is looked up next, and no part leaves a backlog to the one after it."""
        url, last = self._product.stack.profile.url("query_api"), {"ids": self._ids[-MOST_IDS:]}
        async with (
            httpx.AsyncClient(base_url=url, headers=self._product.headers, timeout=30) as http,
            asyncio.timeout(DEADLINE_S),
        ):
            while None in (await http.post("/v1/b/lookup", json=last)).raise_for_status().json()["items"]:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def _records(self, connections: Sequence[Connection], seconds: int) -> tuple[list[float], list[float]]:
        headers = self._product.headers | {"content-type": "application/json"}
        loop, requests, due = asyncio.get_running_loop(), list[bytes](), dict[str, float]()
        for n, raw in enumerate(bodies(RECORDS_PER_SECOND * seconds, seed=self._seed)):
            record = msgspec.json.decode(raw)
            if n % ONE_IN == 0:
                record["text"] += f" {WORD} {secrets.token_hex(4)}"
                due[record["unique_identifier"]] = n / RECORDS_PER_SECOND
            self._ids.append(record["unique_identifier"])
            requests.append(request("POST", "/v1/streams/b/records", msgspec.json.encode(record), headers))
        began = loop.time() + 0.01  # as `at_a_rate` begins
        ingested = await at_a_rate(connections, requests, RECORDS_PER_SECOND, 202)
        async with asyncio.timeout(DEADLINE_S):
            while not self._received.keys() >= due.keys():  # noqa: ASYNC110  # a look now and then costs less
                await asyncio.sleep(0.05)
        return ingested, [self._received[record_id] - began - after for record_id, after in due.items()]

    async def _lookups(self, connections: Sequence[Connection], seconds: int) -> list[float]:
        if not (known := self._ids[: -RECORDS_PER_SECOND * seconds]):
            return []  # the first time there is nothing to look up
        chance = Random(self._seed)
        paths = [f"/v1/b/{chance.choice(known)}" for _ in range(LOOKUPS_PER_SECOND * seconds)]
        return await self._gets(connections, paths, LOOKUPS_PER_SECOND)

    async def _counts(self, connections: Sequence[Connection], seconds: int) -> list[float]:
        return await self._gets(
            connections, ["/v1/counts/b?hours=24"] * (COUNTS_PER_SECOND * seconds), COUNTS_PER_SECOND
        )

    async def _gets(self, connections: Sequence[Connection], paths: Sequence[str], rate: int) -> list[float]:
        requests = [request("GET", path, headers=self._product.headers) for path in paths]
        return await at_a_rate(connections, requests, rate)


def commits(log: Path, since: int) -> list[float]:
    """How long each of the writer's commits took that its log tells of from byte `since` on."""
    with log.open("rb") as lines:
        lines.seek(since)
        events = [msgspec.json.decode(line) for line in lines if line.startswith(b"{")]
    return [one["seconds"] for one in events if one.get("event") == "committed"]


@asynccontextmanager
async def hostile(product: Product) -> AsyncIterator[list[str]]:
    """Hostile queries run as long as the context lasts, each followed by the next; yields how each came to its end."""
    ended: list[str] = []
    url = product.stack.profile.url("query_api")
    async with httpx.AsyncClient(base_url=url, headers=product.headers, timeout=30) as http:
        running = [asyncio.Event() for _ in range(AT_ONCE)]
        asking = [asyncio.create_task(_again_and_again(http, n, running[n], ended)) for n in range(AT_ONCE)]
        async with asyncio.timeout(DEADLINE_S):
            await asyncio.gather(*(one.wait() for one in running))
        try:
            yield ended
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)


async def _again_and_again(http: httpx.AsyncClient, first: int, running: asyncio.Event, ended: list[str]) -> None:
    """One query after the other; a cancellation ends the last one, too."""
    turn = first
    while True:
        asked = {"sql": HOSTILE[turn % len(HOSTILE)], "timeout_seconds": HOSTILE_TIMEOUT_S}
        query = (await http.post("/v1/analytics/queries", json=asked)).raise_for_status().json()
        turn += 1
        path = f"/v1/analytics/queries/{query['id']}"
        try:
            while query["state"] in {"queued", "running"}:
                await asyncio.sleep(0.25)
                query = (await http.get(path)).raise_for_status().json()
                if query["state"] != "queued":
                    running.set()
        except asyncio.CancelledError:
            with suppress(httpx.HTTPError):
                await http.delete(path)
            raise
        ended.append((query.get("error") or {}).get("code", query["state"]))
