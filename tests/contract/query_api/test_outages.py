"""With a part away, what needs it says so in time, what does not goes on, and all is well again afterwards."""

import asyncio
import gc
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import httpx
import pytest
import pytest_asyncio

from common.contracts import Scope
from common.health import Health
from common.kafka.topics import ensure_topics
from localstack.testing import Stack, running_servers
from query_api.settings import QueryApiSettings
from query_api.wiring import assembled

# PyMongo's monitor leaves the socket of a connection that it gave up making to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
)

TIMEOUT_MS = 1000
LOOKUPS = (("GET", "/v1/a/x"), ("GET", "/v1/b/x"), ("GET", "/v1/a/x/b"), ("POST", "/v1/a/lookup"))


@dataclass(frozen=True)
class Deployment:
    """A query API on servers of its own, which may be taken away."""

    stack: Stack
    client: httpx.AsyncClient
    health: Health

    async def lookups(self) -> list[httpx.Response]:
        """Of every kind, at once: what each waits for, none waits for after another."""
        body = {"ids": [str(n) for n in range(300)]}
        asked = (self.client.request(method, path, json=body if method == "POST" else None) for method, path in LOOKUPS)
        return await asyncio.gather(*asked)


@pytest_asyncio.fixture(scope="module")
async def deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    async with running_servers(tmp_path_factory.mktemp("outages")) as stack:
        settings = QueryApiSettings(
            kafka_bootstrap=stack.kafka_bootstrap,
            kafka_timeout_ms=TIMEOUT_MS * 2,
            mongo_uri=stack.mongo_uri,
            mongo_timeout_ms=TIMEOUT_MS,
            secret=secrets.token_hex(32),
        )
        await ensure_topics(settings, partitions=1)
        health = Health()
        async with assembled(settings, health, asyncio.Event()) as app:
            _, token = await app.state.parts.key_ring.make("everything", list(Scope))
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app),
                base_url="http://query-api",
                headers={"Authorization": f"Bearer {token}"},
            ) as client:
                yield Deployment(stack, client, health)
    gc.collect()  # here, where its warnings are expected, and not in the midst of whatever test comes next


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # nobody tells when; the deadline is above
            await asyncio.sleep(0.05)


def assert_unavailable(answer: httpx.Response, says: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), answer.text
    assert answer.headers["retry-after"] == "1"
    assert says in answer.json()["detail"]
    assert "127.0.0.1" not in answer.text


async def test_without_mongodb_lookups_are_unavailable_until_it_is_back(deployment: Deployment) -> None:
    """It crashed: each lookup says so within its timeout; keys are looked after all the same."""
    await eventually(lambda: deployment.health.problems() == {})
    await deployment.stack.crash("mongo")
    try:
        async with asyncio.timeout(len(LOOKUPS) * TIMEOUT_MS / 1000 + 20):
            for answer in await deployment.lookups():
                assert_unavailable(answer, "MongoDB is away or unwilling")
        await eventually(lambda: set(deployment.health.problems()) == {"mongo"})
        assert (await deployment.client.get("/v1/keys")).status_code == 200
    finally:
        await deployment.stack.start("mongo")
    await eventually(lambda: deployment.health.problems() == {})
    assert [answer.status_code for answer in await deployment.lookups()] == [404, 404, 200, 200]


async def test_a_mongodb_that_hangs_is_not_waited_for(deployment: Deployment) -> None:
    """Its connections are open, and nothing comes."""
    deployment.stack.suspend("mongo")
    try:
        async with asyncio.timeout(len(LOOKUPS) * TIMEOUT_MS / 1000 + 20):
            for answer in await deployment.lookups():
                assert_unavailable(answer, "MongoDB is away or unwilling")
    finally:
        deployment.stack.resume("mongo")
    await eventually(lambda: deployment.health.problems() == {})
    assert [answer.status_code for answer in await deployment.lookups()] == [404, 404, 200, 200]


@pytest.mark.parametrize("how", ["crash", "suspend"])
async def test_without_kafka_lookups_go_on_and_keys_wait(deployment: Deployment, how: str) -> None:
    """The keys that were known stay known; a new one is refused in time, and works once Kafka is back."""
    wanted = {"name": "meanwhile", "scopes": ["read"]}
    if how == "crash":
        await deployment.stack.crash("kafka")
    else:
        deployment.stack.suspend("kafka")
    try:
        assert [answer.status_code for answer in await deployment.lookups()] == [404, 404, 200, 200]
        async with asyncio.timeout(TIMEOUT_MS * 2 / 1000 + 20):
            assert_unavailable(await deployment.client.post("/v1/keys", json=wanted), "Kafka")
    finally:
        if how == "crash":
            await deployment.stack.start("kafka")
        else:
            deployment.stack.resume("kafka")
    made = await until_made(deployment.client, wanted)
    headers = {"Authorization": f"Bearer {made['key']}"}
    assert (await deployment.client.get("/v1/a/x/b", headers=headers)).status_code == 200


async def until_made(client: httpx.AsyncClient, wanted: Mapping[str, object]) -> dict[str, str]:
    """The answer once Kafka takes the key; until then, nothing but 503."""
    async with asyncio.timeout(60):
        while True:
            answer = await client.post("/v1/keys", json=wanted)
            if answer.status_code == 201:
                made: dict[str, str] = answer.json()
                return made
            assert answer.status_code == 503
