"""Limits that hold across replicas, through the real Valkey, and without it."""

import pytest

from common.clock import ManualClock
from common.errors import Refused, TryLater
from localstack.free_ports import free_port
from throttling.minutes import Usage
from throttling.throttle import Throttle
from windows.connection import Connection

LIMITS = Usage(10, 1_000)


@pytest.fixture
async def replicas(fresh_redis):
    """Two of one service, at one moment."""
    connections = [Connection(fresh_redis) for _ in range(2)]
    clock = ManualClock(1_795_420_800_000)
    yield [Throttle(LIMITS, connection, fresh_redis.redis_prefix, clock) for connection in connections]
    for connection in connections:
        await connection.close()


async def test_replicas_share_a_limit(replicas) -> None:
    """What a caller sent to one is not there to be had from the other."""
    first, second = replicas
    for replica, times in ((first, 6), (second, 3)):
        for _ in range(times):
            replica.admit("ann", 10)
    for replica in (first, second, first):
        await replica.agree()  # the first learns of the second's once it has something to tell again
    second.admit("ann", 10)
    with pytest.raises(Refused) as refused:
        second.admit("ann", 10)
    assert refused.value.code == "rate_limited"
    second.admit("bob", 10)


async def test_bytes_are_shared_too(replicas) -> None:
    """A few large bodies weigh as much as many small ones."""
    first, second = replicas
    first.admit("ann", 900)
    await first.agree()
    second.admit("ann", 50)
    await second.agree()
    with pytest.raises(Refused):
        second.admit("ann", 51)
    second.admit("ann", 50)


async def test_without_redis_each_replica_holds_to_the_limit_by_itself(fresh_redis) -> None:
    """Nobody is refused for its absence, and nothing waits for it."""
    away = fresh_redis.model_copy(
        update={"redis_url": type(fresh_redis.redis_url)(f"redis://127.0.0.1:{free_port()}/0")}
    )
    connection = Connection(away)
    throttle = Throttle(LIMITS, connection, "", ManualClock(1_795_420_800_000))
    throttle.admit("ann", 1)
    with pytest.raises(TryLater):
        await throttle.agree()
    for _ in range(9):
        throttle.admit("ann", 1)
    with pytest.raises(Refused):
        throttle.admit("ann", 1)
    await connection.close()
