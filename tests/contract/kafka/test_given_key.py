"""A first key that was made elsewhere, as deployments that keep their secrets in a store of their own hand it in."""

import secrets

import pytest
from msgspec.structs import replace

from common.bootstrap import ensure_given_key
from common.clock import SystemClock
from common.contracts import ApiKey, ControlKind, Scope
from common.errors import CannotStart
from common.kafka.control import ControlTable
from common.kafka.producer import Producer
from common.keys import verify


def fresh_token() -> str:
    return f"tsk_{secrets.token_hex(6)}_{secrets.token_hex(32)}"


async def test_a_given_key_is_in_force_with_every_scope(fresh_kafka) -> None:
    """The first time it is made one, afterwards it is found."""
    token = fresh_token()
    assert [await ensure_given_key(fresh_kafka, token) for _ in range(2)] == [True, False]
    producer = Producer(fresh_kafka)
    await producer.start()
    control = ControlTable(fresh_kafka, producer, SystemClock())
    await control.start()
    (key,) = [entry.value for entry in control.of(ApiKey)]
    await control.stop()
    await producer.stop()
    assert set(key.scopes) == set(Scope)
    assert verify(key, token)
    assert not verify(key, token[:-1] + ("0" if token[-1] != "0" else "1"))


GOOD = f"tsk_{'0' * 12}_{'0123456789abcdef' * 4}"


@pytest.mark.parametrize("weak", ["", "secret", "tsk_0123456789ab_secret", GOOD[:-1], GOOD.upper()])
async def test_what_is_easier_to_guess_than_a_key_is_refused(fresh_kafka, weak: str) -> None:
    """A password that someone thought of has no place where 256 random bits belong."""
    with pytest.raises(CannotStart, match="64 hex digits"):
        await ensure_given_key(fresh_kafka, weak)


async def test_a_revoked_key_does_not_come_back(fresh_kafka) -> None:
    """A deployment that is rolled out anew with an old secret must not undo a revocation."""
    token = fresh_token()
    await ensure_given_key(fresh_kafka, token)
    producer = Producer(fresh_kafka)
    await producer.start()
    control = ControlTable(fresh_kafka, producer, SystemClock())
    await control.start()
    (key,) = [entry.value for entry in control.of(ApiKey)]
    await control.put(ControlKind.KEY, key.id, replace(key, revoked_at=1))
    await control.stop()
    await producer.stop()
    with pytest.raises(CannotStart, match="revoked"):
        await ensure_given_key(fresh_kafka, token)
