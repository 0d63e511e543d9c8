"""Two of every process side by side, and each of them restarted in turn under load: nothing is lost, no read fails."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import httpx
import pytest
import pytest_asyncio

from common.bootstrap import ensure_first_key
from common.kafka.topics import ensure_topics
from common.settings import KafkaSettings
from localstack.profile import on_free_ports
from localstack.services import services
from localstack.testing import Stack, running_servers

pytestmark = [pytest.mark.long]

NAMES = ("documents", "aggregates", "ingest", "query_api")
BATCH = 20
PAUSE_S = 0.2  # of writers and readers alike: what is tested is a restart, not saturation
FOUND_WITHIN_S = 120


@pytest_asyncio.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with running_servers(tmp_path_factory.mktemp("replicas")) as stack:
        settings = KafkaSettings(kafka_bootstrap=stack.kafka_bootstrap)
        await ensure_topics(settings, partitions=4)
        await ensure_first_key(settings, stack.profile.key_file)
        yield stack


class Balancer:
    """Requests in turn to every replica; one that refuses the connection is passed over, nothing else is forgiven."""

    def __init__(self, key: str, urls: Sequence[str]) -> None:
        self._http = httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=30)
        self._urls, self._turns = urls, count()

    async def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        turn = next(self._turns)
        for other in range(len(self._urls)):
            url = self._urls[(turn + other) % len(self._urls)]
            try:
                answer = await self._http.request(method, url + path, **options)
            except httpx.ConnectError:
                continue
            assert answer.is_success, answer.text
            return answer
        pytest.fail("no replica listens")

    async def close(self) -> None:
        await self._http.aclose()


class Replicas:
    """Two of every service on ports of their own, each with its own name in its group."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        second = on_free_ports(stack.profile)
        self.profiles = {"1": stack.profile, "2": replace(second, ports={**second.ports, **shared(stack)})}

    def names(self) -> list[str]:
        return [f"{name.replace('_', '-')}-{instance}" for name in NAMES for instance in self.profiles]

    async def start(self) -> None:
        for instance, profile in self.profiles.items():
            processes = [
                replace(
                    process,
                    name=f"{process.name}-{instance}",
                    log=process.log.with_stem(f"{process.log.stem}-{instance}"),
                    environment={**process.environment, "TWINSTREAM_INSTANCE": instance},
                )
                for process in services(profile, NAMES)
            ]
            await self._stack.supervisor.start(processes)

    def balancer(self, name: str) -> Balancer:
        key = self._stack.profile.key_file.read_text(encoding="ascii").strip()
        return Balancer(key, [profile.url(name) for profile in self.profiles.values()])


def shared(stack: Stack) -> dict[str, int]:
    """The ports of the servers, which both replicas speak to."""
    return {name: port for name, port in stack.profile.ports.items() if name in {"kafka", "mongo", "redis"}}


async def test_a_rolling_restart_loses_nothing_and_fails_no_read(stack: Stack) -> None:
    """One replica after the other, while records come and are looked up, counted and listed."""
    replicas, over, sent = Replicas(stack), asyncio.Event(), list[str]()
    await replicas.start()
    ingest, query = replicas.balancer("ingest"), replicas.balancer("query_api")
    first = await ingest("POST", "/v1/streams/b/records", json=[a_b("first")])
    waiting = {"wait_for": first.json()["receipt"], "timeout_ms": 20_000}
    await query("GET", "/v1/b/first", params=waiting)
    await query("GET", "/v1/counts/b", params={**waiting, "hours": 1})

    async def write() -> None:
        while not over.is_set():
            batch = [f"b-{len(sent) + n}" for n in range(BATCH)]
            await ingest("POST", "/v1/streams/b/records", json=[a_b(id_) for id_ in batch])
            sent.extend(batch)
            await asyncio.sleep(PAUSE_S)

    async def read() -> int:
        reads = 0
        while not over.is_set():
            assert (await query("GET", "/v1/b/first")).json()["unique_identifier"] == "first"
            assert (await query("GET", "/v1/a/p/b", params={"limit": 5})).json()["items"]
            assert (await query("GET", "/v1/counts/b", params={"hours": 1})).json()["count"] > 0
            reads += 3
            await asyncio.sleep(PAUSE_S)
        return reads

    tasks = [asyncio.create_task(one()) for one in (write, read, read)]
    for name in replicas.names():
        await stack.stop(name)
        await stack.start(name)
        assert [task.result() for task in tasks if task.done()] == [], name
    over.set()
    _, *reads = await asyncio.gather(*tasks)
    assert sum(reads) > 100
    await all_found(query, sent)
    for balancer in (ingest, query):
        await balancer.close()


def a_b(id_: str) -> dict[str, Any]:
    return {"unique_identifier": id_, "Stream_A_unique_identifier": "p", "number": 1, "text": id_}


async def all_found(query: Balancer, sent: Sequence[str]) -> None:
    async with asyncio.timeout(FOUND_WITHIN_S):
        for start in range(0, len(sent), 1000):
            ids = list(sent[start : start + 1000])
            while True:
                found = (await query("POST", "/v1/b/lookup", json={"ids": ids})).json()["items"]
                if [one and one["text"] for one in found] == ids:
                    break
                await asyncio.sleep(0.2)
