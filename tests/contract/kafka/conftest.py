"""What the tests of the log's clients share."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient

from common.settings import KafkaSettings


@pytest.fixture(autouse=True)
def _reviewed_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker looks after every two seconds, it looks after more often here."""
    monkeypatch.setattr("common.kafka.batch_loop._REVIEW_EVERY_S", 0.3)


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """Await a condition, plain or awaitable, that comes true sooner or later."""

    async def eventually(condition: Callable[[], object], within_s: float = 60.0) -> None:
        async with asyncio.timeout(within_s):
            while True:
                found = condition()
                if await found if inspect.isawaitable(found) else found:
                    return
                await asyncio.sleep(0.02)

    return eventually


@pytest_asyncio.fixture
async def admin(fresh_kafka: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=fresh_kafka.kafka_bootstrap)
    await admin.start()
    yield admin
    await admin.close()
