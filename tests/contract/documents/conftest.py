"""The store of documents on the real server, and a look at what it wrote past it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from common.clock import ManualClock
from common.contracts import RecordB, version_of
from common.kafka.producer import Producer
from common.kafka.rejections import Rejections
from common.settings import MongoSettings
from documents.rejected_store import RejectedStore
from documents.store import DocumentStore
from documents.versions import Upsert
from documents.worker import Worker

Database = AsyncDatabase[dict[str, Any]]


@pytest.fixture(autouse=True)
def _reviewed_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker looks after every two seconds, it looks after more often here."""
    monkeypatch.setattr("common.kafka.batch_loop._REVIEW_EVERY_S", 0.3)


@pytest_asyncio.fixture
async def database(fresh_mongo: MongoSettings) -> AsyncIterator[Database]:
    """The database that the store under test writes, read by the bare driver."""
    async with AsyncMongoClient[dict[str, Any]](fresh_mongo.mongo_uri.get_secret_value()) as client:
        yield client[fresh_mongo.mongo_database]


@pytest_asyncio.fixture
async def store(fresh_mongo: MongoSettings) -> AsyncIterator[DocumentStore]:
    store = DocumentStore(fresh_mongo)
    await store.prepare()
    yield store
    await store.close()


@pytest.fixture
def upsert() -> Callable[..., Upsert]:
    """A version of a B of which only what is said matters."""

    def upsert(offset: int = 0, **fields: Any) -> Upsert:
        known = {"id": "x", "a_id": "a", "number": 1.0, "text": "t", "event_time": 5, "ingested_at": 5}
        record = RecordB(**{**known, **fields})
        return Upsert(record, version_of(record), record.event_time, entry=SimpleNamespace(offset=offset))

    return upsert


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """Await a condition that comes true sooner or later."""

    async def eventually(condition: Callable[[], Awaitable[object]], within_s: float = 60.0) -> None:
        async with asyncio.timeout(within_s):
            while not await condition():
                await asyncio.sleep(0.02)

    return eventually


@pytest.fixture
def worker(store: DocumentStore, producer: Producer) -> Worker:
    """The handler as it runs; its clock stands an hour after the epoch."""
    return Worker(store, RejectedStore(store, kept_days=30), Rejections(producer), ManualClock(3_600_000))
