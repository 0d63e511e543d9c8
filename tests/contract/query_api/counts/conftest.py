"""Windows as `aggregates` leaves them in Redis, planted by hand."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import datetime
from typing import Any, Final

import httpx
import msgspec
import pytest
import pytest_asyncio
from redis import Redis

from common.contracts import Condition, Scope, Stream
from query_api.settings import QueryApiSettings
from windows.counts import LATE
from windows.layout import (
    ALL,
    CONDITIONS,
    EVENTS,
    FILL,
    HELD,
    HOUR_MS,
    MINUTE_MS,
    OF,
    POSITIONS,
    Generation,
    Layout,
    Pane,
    freshness_key,
    generation_key,
    held_name,
)

HORIZON_H: Final = 24
WITHIN_S: Final = 60.0
FILLING: Final = 100
"""Offsets that a condition must be filled up to."""


class PlantedWindows:
    """The windows of stream B: two shards, filled from one partition."""

    def __init__(self, settings: QueryApiSettings) -> None:
        self._redis: Redis = Redis.from_url(settings.redis_url.get_secret_value())
        self._prefix = settings.redis_prefix
        generation = Generation(shards=2, partitions=1, horizon_ms=HORIZON_H * HOUR_MS)
        self.layout = Layout(self._prefix, Stream.B, generation)
        self._redis.set(generation_key(self._prefix, Stream.B), msgspec.json.encode(generation))

    def item(self, record_id: str, age_h: float, parent: str, *held: str) -> None:
        """A B whose newest version is so old."""
        base = self.layout.base(self.layout.shard_of(record_id))
        for key in (ALL, OF + parent, *(HELD + name for name in held)):
            self._redis.zadd(base + key, {record_id: _ago_ms(age_h)})

    def event(self, age_h: float, count: int = 1) -> None:
        """So many records of about this age."""
        base, moment_ms = self.layout.base(0), _ago_ms(age_h)
        self._redis.hincrby(base + EVENTS, Pane.minute(moment_ms // MINUTE_MS), count)
        self._redis.hincrby(base + EVENTS, Pane.hour(moment_ms // HOUR_MS), count)

    def tell(self, behind_s: float, late: int = 0) -> None:
        """Be so far behind the log, and know of so many late records."""
        told: dict[str | bytes, int] = {"0": _ago_ms(behind_s / 3600), LATE: late}
        self._redis.hset(freshness_key(self._prefix, Stream.B), mapping=told)  # type: ignore[arg-type]  # bytes do too

    def tell_nothing(self) -> None:
        self._redis.delete(freshness_key(self._prefix, Stream.B))

    def stand_at(self, offset: int) -> None:
        """Have applied the records before `offset`."""
        for base in self.layout.bases():
            self._redis.hset(base + POSITIONS, "0", offset)

    def fill(self, view: dict[str, Any], up_to: int) -> str:
        """Bring a condition, as the API answers it, to so many of the hundred past records; returns its set's name."""
        condition = Condition(
            name=view["name"],
            stream=Stream.B,
            expression=view["expression"],
            per_a=view["per_a"],
            created_at=_parse_ms(view["created_at"]),
            changed_at=_parse_ms(view["changed_at"]),
        )
        revision = view["revision"]
        for base in self.layout.bases():
            self._redis.hset(base + CONDITIONS, str(revision), msgspec.json.encode(condition))
            fill = {f"{revision}/0/live": FILLING, f"{revision}/0/next": up_to}
            self._redis.hset(base + FILL, mapping=fill)  # type: ignore[arg-type]  # what redis-py is typed for is wider
        return held_name(condition.name, revision)

    def close(self) -> None:
        self._redis.close()


def _ago_ms(hours: float) -> int:
    return int(time.time() * 1000) - round(hours * HOUR_MS)


def _parse_ms(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


@pytest.fixture(scope="session")
def windows(settings: QueryApiSettings) -> Iterator[PlantedWindows]:
    """Ten B, one every two hours from an hour ago on, of two A in turn; each was sent twice, and all is counted."""
    planted = PlantedWindows(settings)
    for n in range(10):
        planted.item(f"b-{n}", 2 * n + 1, f"a-{n % 2}")
        planted.event(2 * n + 1, 2)
    yield planted
    planted.close()


@pytest_asyncio.fixture(scope="session")
async def editor(
    client_of: Callable[[str], httpx.AsyncClient], tokens: dict[Scope, str]
) -> AsyncIterator[httpx.AsyncClient]:
    """A client that may make conditions, and no more."""
    async with client_of(tokens[Scope.RULES]) as client:
        yield client


Eventually = Callable[[Callable[[], Awaitable[httpx.Response]], int], Awaitable[Any]]


@pytest.fixture
def eventually() -> Eventually:
    """Asks again until the answer has this status: what the app knows of conditions is a second old at most."""

    async def eventually(ask: Callable[[], Awaitable[httpx.Response]], status: int) -> Any:
        async with asyncio.timeout(WITHIN_S):
            while (answer := await ask()).status_code != status:
                await asyncio.sleep(0.05)
        return answer.json()

    return eventually
