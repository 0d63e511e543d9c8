"""The query API as it is, on real servers, spoken to through its whole ASGI app; records are planted in its MongoDB."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from fastapi import FastAPI
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from common.contracts import Collections, Scope, StoredA, StoredB, Stream
from common.health import Health
from common.kafka.topics import ensure_topics
from localstack.testing import Stack
from query_api.settings import QueryApiSettings
from query_api.wiring import assembled

Database = AsyncDatabase[dict[str, Any]]


@pytest_asyncio.fixture(scope="session")
async def settings(servers: Stack, issuer: Any) -> QueryApiSettings:
    """Settings of a deployment of its own: topics and database that no other test uses."""
    name = f"query-{secrets.token_hex(4)}"
    settings = QueryApiSettings(
        kafka_bootstrap=servers.kafka_bootstrap,
        topic_prefix=f"{name}.",
        mongo_uri=servers.mongo_uri,
        mongo_database=name,
        redis_url=servers.redis_url,
        redis_prefix=f"{name}:",
        secret=secrets.token_hex(32),
        oidc_issuer=issuer.url,
        oidc_audience=issuer.audience,
    )
    await ensure_topics(settings, partitions=1)
    return settings


@pytest_asyncio.fixture(scope="session")
async def database(settings: QueryApiSettings) -> AsyncIterator[Database]:
    """Where the app under test reads; with the indexes that `documents` makes."""
    async with AsyncMongoClient[dict[str, Any]](settings.mongo_uri.get_secret_value()) as client:
        database = client[settings.mongo_database]
        children = database[Collections.of(Stream.B)]
        await children.create_index([("a_id", 1), ("event_time", -1), ("_id", 1)])
        await children.create_index([("a_id", 1), ("_id", 1)])
        yield database


@pytest_asyncio.fixture(scope="session")
async def app(settings: QueryApiSettings) -> AsyncIterator[FastAPI]:
    async with assembled(settings, Health(), asyncio.Event()) as app:
        yield app


@pytest_asyncio.fixture(scope="session")
async def tokens(app: FastAPI) -> dict[Scope, str]:
    """A key for each scope, with that scope alone."""
    return {scope: (await app.state.parts.key_ring.make(f"only {scope}", [scope]))[1] for scope in Scope}


@pytest.fixture(scope="session")
def client_of(app: FastAPI) -> Callable[[str | None], httpx.AsyncClient]:
    """A client that sends this token, or none."""

    def make(token: str | None) -> httpx.AsyncClient:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://query-api", headers=headers)

    return make


@pytest_asyncio.fixture(scope="session")
async def reader(
    client_of: Callable[[str | None], httpx.AsyncClient], tokens: dict[Scope, str]
) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(tokens[Scope.READ]) as client:
        yield client


@pytest_asyncio.fixture(scope="session")
async def admin(
    client_of: Callable[[str | None], httpx.AsyncClient], tokens: dict[Scope, str]
) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(tokens[Scope.ADMIN]) as client:
        yield client


@pytest_asyncio.fixture(scope="session")
async def stranger(client_of: Callable[[str | None], httpx.AsyncClient]) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key."""
    async with client_of(None) as client:
        yield client


Plant = Callable[[Iterable[StoredA]], Any]


@pytest.fixture(scope="session")
def plant(database: Database) -> Plant:
    """Store records as `documents` does; one with a known id takes its place."""

    async def plant(records: Iterable[StoredA]) -> None:
        for record in records:
            stream = Stream.B if isinstance(record, StoredB) else Stream.A
            await database[Collections.of(stream)].replace_one(
                {"_id": record.id}, msgspec.to_builtins(record), upsert=True
            )

    return plant


@pytest.fixture(scope="session")
def an_a() -> Callable[..., StoredA]:
    """An A with this id; whatever else is not said does not matter."""

    def an_a(id_: str, **fields: Any) -> StoredA:
        return StoredA(**{**_FIELDS, "id": id_, **fields})

    return an_a


@pytest.fixture(scope="session")
def a_b() -> Callable[..., StoredB]:
    """A B with this id and parent; whatever else is not said does not matter."""

    def a_b(id_: str, a_id: str, **fields: Any) -> StoredB:
        return StoredB(**{**_FIELDS, "id": id_, "a_id": a_id, **fields})

    return a_b


_FIELDS = {
    "number": 12.5,
    "text": "Please refund.",
    "event_time": 1_795_420_800_000,
    "ingested_at": 1_795_420_801_250_417,
    "content_hash": 7,
    "first_seen": 1_795_420_700_000,
}
