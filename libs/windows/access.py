"""Whether Redis lets us in, and is what our settings say that it is."""

import asyncio
from contextlib import suppress
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.exceptions import AuthenticationError, AuthorizationError, NoPermissionError, RedisError

from common.errors import CannotStart, TryLater
from common.settings import RedisSettings
from common.tls import Address, Way, check_way
from windows.connection import CA_VARIABLE, CERTIFICATE_VARIABLE, one_node_of, tls_of

_REFUSED: Final = (AuthenticationError, AuthorizationError, NoPermissionError)
_WITHIN_S: Final = 2.0
_DEFAULT_PORT: Final = 6379


async def check_redis(settings: RedisSettings) -> None:
    """Make sure at a start that Redis lets us in.

    A cluster's own client says of any failure that no node can be reached: it is asked as one server.

    Raises:
        CannotStart: it is there and does not, or is no cluster where it should be one; says why, by a code of its own.
        TryLater: it is away.
    """
    client = one_node_of(settings)
    try:
        await client.ping()
        await _check_kind(client, settings)
    except _REFUSED as error:
        raise CannotStart(f"Redis does not let us in: {error}", "not_let_in") from None
    except (RedisError, OSError) as error:
        await check_way(_way(settings), _answers_plainly)
        raise TryLater(f"Redis is away ({type(error).__name__})") from error
    finally:
        await client.aclose()


async def _check_kind(client: Redis, settings: RedisSettings) -> None:
    with suppress(NoPermissionError):  # who may not ask needs not know: all else may still work
        is_cluster = bool((await client.info("cluster")).get("cluster_enabled"))
        if is_cluster != settings.redis_cluster:
            what = "a cluster" if is_cluster else "no cluster"
            hint = f"TWINSTREAM_REDIS_CLUSTER is {str(settings.redis_cluster).lower()}"
            raise CannotStart(f"Redis is {what}, but {hint}", "cluster_mismatch")


def _way(settings: RedisSettings) -> Way:
    context, switch = tls_of(settings), "rediss:// in TWINSTREAM_REDIS_URL"
    return Way("Redis", _addresses(settings), context, switch, CA_VARIABLE, CERTIFICATE_VARIABLE)


def _addresses(settings: RedisSettings) -> list[Address]:
    parts = parse_url(settings.redis_url.get_secret_value())
    # One that says itself whom to trust is left to the driver: a look with our settings would find another answer.
    elsewhere = "path" in parts or any(name.startswith("ssl_") for name in parts)
    return [] if elsewhere else [(str(parts.get("host", "localhost")), int(parts.get("port", _DEFAULT_PORT)))]


async def _answers_plainly(host: str, port: int) -> bool:
    """Whether it answers PING at all: with PONG, or with a call for a password."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_WITHIN_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"PING\r\n")
                return await reader.read(1) in {b"+", b"-"}
            finally:
                writer.transport.abort()
    return False
