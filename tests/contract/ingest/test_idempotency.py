"""Idempotency keys over HTTP, with a real Kafka and a real Valkey."""

import json
import secrets
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from common.clock import ManualClock
from common.errors import Refused, TryLater
from common.settings import RedisSettings
from ingest.idempotency import LEASE_MS, Given, IdempotencyKeys, Keyed, Reservation

NOW = 1_790_000_000_000


def record(**fields: Any) -> bytes:
    return json.dumps({"unique_identifier": secrets.token_hex(4), "number": 1, "text": "t", **fields}).encode()


async def test_a_repeat_gets_the_first_answer_and_writes_nothing(service: Any) -> None:
    """The same body under the same key is answered alike, byte for byte, and stands in the log once."""
    key, body = secrets.token_hex(8), record()
    first = await service.send("a", body, "application/json", Idempotency_Key=key)
    again = await service.send("a", body, "application/json", Idempotency_Key=key)
    assert (first.status_code, again.status_code, again.content) == (202, 202, first.content)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    sent = json.loads(body)["unique_identifier"].encode()
    assert [entry.key for entry in await service.log_of("records.a")].count(sent) == 1


async def test_a_refusal_is_repeated_too(service: Any) -> None:
    """A request of which all records were refused is answered alike, as a problem."""
    key = secrets.token_hex(8)
    first = await service.send("a", b'{"number": 1}', "application/json", Idempotency_Key=key)
    again = await service.send("a", b'{"number": 1}', "application/json", Idempotency_Key=key)
    assert (first.status_code, again.status_code, again.content) == (422, 422, first.content)
    assert again.headers["content-type"] == first.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("count", [40, 5_000])
async def test_a_long_answer_is_repeated_byte_for_byte_and_kept_small(service: Any, count: int) -> None:
    """Thousands of refusals, each with its reason; Redis keeps a small part of that for the day."""
    key, body = secrets.token_hex(8), b"{}\n" * count
    first = await service.send("a", body, Idempotency_Key=key)
    again = await service.send("a", body, Idempotency_Key=key)
    assert (first.status_code, len(first.json()["errors"])) == (422, count)
    assert (again.status_code, again.content, again.headers["idempotency-replayed"]) == (422, first.content, "true")
    async with Redis.from_url(service.settings.redis_url.get_secret_value()) as redis:
        (kept,) = [name async for name in redis.scan_iter(match=f"*:{key}", count=10_000)]
        assert await redis.hstrlen(kept, "body") < len(first.content) / 10


async def test_with_redis_away_only_requests_under_a_key_wait(servers: Any, tools: Any) -> None:
    """Records need no memory of keys; a repeat under one would be carried out twice."""
    away = {"redis_url": SecretStr("redis://127.0.0.1:1/0")}
    async with tools.listening((await tools.fresh_settings(servers)).model_copy(update=away)) as service:
        plain = await service.send("a", record(), "application/json")
        keyed = await service.send("a", record(), "application/json", Idempotency_Key="k")
    assert (plain.status_code, keyed.status_code, keyed.json()["code"]) == (202, 503, "unavailable")
    assert int(keyed.headers["retry-after"]) >= 1


async def test_another_body_under_a_key_is_refused(service: Any) -> None:
    """What was sent first stays what the key stands for."""
    key = secrets.token_hex(8)
    await service.send("a", record(), "application/json", Idempotency_Key=key)
    answer = await service.send("a", record(), "application/json", Idempotency_Key=key)
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_reused")


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_a_key_has_a_length(service: Any, key: str) -> None:
    """Neither nothing nor a page of text is a key."""
    answer = await service.send("a", record(), "application/json", Idempotency_Key=key)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_invalid")


async def test_a_body_that_is_no_json_takes_no_key(service: Any) -> None:
    """A request that was not carried out can be mended and sent under the same key."""
    key = secrets.token_hex(8)
    broken = await service.send("a", b"{", "application/json", Idempotency_Key=key)
    mended = await service.send("a", record(), "application/json", Idempotency_Key=key)
    assert (broken.status_code, mended.status_code) == (400, 202)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
async def keys(fresh_redis: RedisSettings, clock: ManualClock) -> Any:
    keys = IdempotencyKeys(fresh_redis, clock)
    yield keys
    await keys.close()


async def test_a_request_in_flight_is_not_carried_out_twice(keys: IdempotencyKeys) -> None:
    """A second attempt while the first one runs is told to wait."""
    await keys.reserve(Keyed("caller", "k", "f", 7))
    with pytest.raises(Refused, match="idempotency_key_in_flight"):
        await keys.reserve(Keyed("caller", "k", "f", 8))


async def test_whose_answer_was_lost_asks_again_and_is_let_in(
    keys: IdempotencyKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key was reserved and the connection broke before that was said: the client asks again, for the same request.

    To any other it is in flight, also if its body is the same.
    """
    read, lost = AbstractConnection.read_response, list[Any]()

    async def read_response(connection: AbstractConnection, *args: Any, **kwargs: Any) -> Any:
        reply = await read(connection, *args, **kwargs)
        if not lost and isinstance(reply, list) and reply[0] == b"reserved":
            lost.append(reply)
            raise RedisConnectionError("the connection broke")
        return reply

    monkeypatch.setattr(AbstractConnection, "read_response", read_response)
    held = await keys.reserve(Keyed("caller", "k", "f", 7))
    assert isinstance(held, Reservation)
    assert (lost, held.first_us) == ([[b"reserved", b"7"]], 7)
    with pytest.raises(Refused, match="idempotency_key_in_flight"):
        await keys.reserve(Keyed("caller", "k", "f", 8))
    await keys.finish(held, Given(202, "application/json", b"first"))
    assert await keys.reserve(Keyed("caller", "k", "f", 9)) == Given(202, "application/json", b"first")


async def test_a_vanished_holder_is_succeeded_with_its_own_versions(keys: IdempotencyKeys, clock: ManualClock) -> None:
    """After the lease a repeat carries on, with the times that the first attempt may already have written."""
    await keys.reserve(Keyed("caller", "k", "f", 7))
    clock.advance(ms=LEASE_MS + 1)
    held = await keys.reserve(Keyed("caller", "k", "f", 8))
    assert isinstance(held, Reservation)
    assert held.first_us == 7


async def test_the_former_holder_cannot_answer_any_more(keys: IdempotencyKeys, clock: ManualClock) -> None:
    """Who comes back after its lease does not overwrite what its successor does."""
    late = await keys.reserve(Keyed("caller", "k", "f", 7))
    clock.advance(ms=LEASE_MS + 1)
    successor = await keys.reserve(Keyed("caller", "k", "f", 8))
    assert isinstance(late, Reservation)
    assert isinstance(successor, Reservation)
    await keys.finish(late, Given(202, "application/json", b"late"))
    await keys.finish(successor, Given(202, "application/json", b"successor"))
    assert await keys.reserve(Keyed("caller", "k", "f", 9)) == Given(202, "application/json", b"successor")


async def test_a_released_key_is_free_at_once(keys: IdempotencyKeys) -> None:
    """A failure gives the key back without waiting for the lease, the versions stay."""
    held = await keys.reserve(Keyed("caller", "k", "f", 7))
    assert isinstance(held, Reservation)
    await keys.release(held)
    again = await keys.reserve(Keyed("caller", "k", "f", 8))
    assert isinstance(again, Reservation)
    assert again.first_us == 7


async def test_callers_do_not_share_keys(keys: IdempotencyKeys) -> None:
    """What one API key calls its request is nothing to another."""
    await keys.reserve(Keyed("caller", "k", "f", 7))
    assert isinstance(await keys.reserve(Keyed("another", "k", "g", 8)), Reservation)


async def test_with_redis_away_nothing_is_promised(clock: ManualClock) -> None:
    """Without a memory of keys a request under one is not carried out."""
    keys = IdempotencyKeys(RedisSettings(redis_url="redis://127.0.0.1:1/0"), clock)
    with pytest.raises(TryLater, match="Redis"):
        await keys.reserve(Keyed("caller", "k", "f", 7))
    await keys.close()
