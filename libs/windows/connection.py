"""Redis, Valkey or a cluster of either: one round trip for many commands, and errors that say what to do."""

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha1
from typing import Any, Final, NamedTuple, TypeVar

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    ClusterError,
    MasterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from common.errors import CannotStart, TryLater, unfit_secret
from common.settings import RedisSettings
from common.tls import presenting, trusting
from windows.spans import CallSpans

CA_VARIABLE: Final = "TWINSTREAM_REDIS_CA_FILE"
CERTIFICATE_VARIABLE: Final = "TWINSTREAM_REDIS_CERTIFICATE_FILE"

_AWAY: Final = (
    RedisConnectionError,
    RedisTimeoutError,
    BusyLoadingError,
    ClusterDownError,
    ClusterError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    TryAgainError,
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    OSError,
)
_PASSING: Final = ("BUSY", "NOREPLICAS", "MISCONF", "LOADING", "UNBLOCKED")  # replies that have no class of their own
_ONE_MORE: Final = 1  # a connection that the server closed while it idled shows only at the next command

_SCANNED: Final = 500

_Kind = TypeVar("_Kind", Redis, RedisCluster)

Command = Sequence[str | bytes | int | float]


class Script(NamedTuple):
    """A script and the name that the server knows it by."""

    text: str
    sha: str


def script_of(text: str) -> Script:
    return Script(text, sha1(text.encode()).hexdigest())  # noqa: S324  # the server's own naming


class Connection:
    """Commands to Redis, many at a time."""

    def __init__(self, settings: RedisSettings) -> None:
        self._client = client_of(settings)
        self._spans = CallSpans(settings)

    async def close(self) -> None:
        await self._client.aclose()

    async def pipelined(self, commands: Sequence[Command]) -> list[Any]:
        """Send `commands` at once and return their replies in order; they are no transaction.

        Raises:
            TryLater: Redis is away, busy or full; some of the commands may have been carried out.
        """
        with translated():
            replies = await self._send(commands)
            for reply in replies:
                if isinstance(reply, BaseException):
                    raise reply
            return replies

    async def run(self, script: Script, calls: Mapping[str, bytes]) -> dict[str, Any]:
        """Run `script` once per key of `calls`, with the key and its bytes, all in one round trip.

        Raises:
            TryLater: Redis is away, busy or full; some of the calls may have been carried out.
        """
        replies = dict(zip(calls, await self._evaluate(script, calls), strict=True))
        unknown = [key for key, reply in replies.items() if isinstance(reply, NoScriptError)]
        if unknown:  # a server that was started anew, or another one took over
            await self._load(script)
            again = await self._evaluate(script, {key: calls[key] for key in unknown})
            replies |= dict(zip(unknown, again, strict=True))
        with translated():
            for reply in replies.values():
                if isinstance(reply, BaseException):
                    raise reply
        return replies

    async def delete_matching(self, pattern: str) -> int:
        """Delete every key that matches `pattern`, a few at a time; returns how many there were.

        Raises:
            TryLater: Redis is away; some may be left.
        """
        deleted, found = 0, []
        with translated():
            async for key in self._client.scan_iter(match=pattern, count=_SCANNED):
                found.append(key)
                if len(found) >= _SCANNED:
                    deleted += await self._unlink(found)
                    found = []
            return deleted + await self._unlink(found)

    async def _unlink(self, keys: Sequence[bytes]) -> int:
        return sum(await self.pipelined([("UNLINK", key) for key in keys]))

    async def _evaluate(self, script: Script, calls: Mapping[str, bytes]) -> list[Any]:
        with translated():
            return await self._send([("EVALSHA", script.sha, 1, key, blob) for key, blob in calls.items()])

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        if not commands:
            return []
        if isinstance(self._client, RedisCluster):
            pipeline: Any = self._client.pipeline()
        else:
            pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        with self._spans.round_trip(commands):
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
        return replies

    async def _load(self, script: Script) -> None:
        with translated():
            await self._client.script_load(script.text)  # in a cluster, onto every primary


@contextmanager
def translated() -> Iterator[None]:
    """Turn redis-py's exceptions into ours; a reply that tells of a fault of ours passes as it is.

    Raises:
        TryLater: Redis is away, busy, full or being reconfigured.
    """
    try:
        yield
    except _AWAY as error:
        raise TryLater(f"Redis: {_first_line(error)}") from error
    except RedisError as error:
        if str(error).startswith(_PASSING):
            raise TryLater(f"Redis: {_first_line(error)}") from error
        raise


def client_of(settings: RedisSettings) -> "Redis | RedisCluster":
    """A client of Redis or of a cluster, which connects when it is first used.

    Raises:
        CannotStart: the address, the file of authorities or of our certificate does not fit.
    """
    return _client(RedisCluster, settings) if settings.redis_cluster else _client(Redis, settings)


def one_node_of(settings: RedisSettings) -> "Redis":
    """A client of the very server that the address names, though it were one of a cluster."""
    return _client(Redis, settings)


def tls_of(settings: RedisSettings) -> ssl.SSLContext | None:
    """What the driver makes of our files; None without TLS.

    Raises:
        CannotStart: one of the files cannot be used.
    """
    if not settings.redis_tls:
        return None
    context = trusting(settings.redis_ca_file, CA_VARIABLE)
    return presenting(context, settings.redis_certificate_file, CERTIFICATE_VARIABLE)


def _client(kind: type[_Kind], settings: RedisSettings) -> _Kind:
    timeout_s = settings.redis_timeout_ms / 1000
    tls_of(settings)
    own = settings.redis_certificate_file
    files = {"ssl_ca_certs": settings.redis_ca_file, "ssl_certfile": own, "ssl_keyfile": own}
    tls: dict[str, Any] = {option: file for option, file in files.items() if file}
    try:
        return kind.from_url(
            settings.redis_url.get_secret_value(),
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), _ONE_MORE),
            **tls,
        )
    except (ValueError, RedisError) as error:
        raise CannotStart(unfit_secret("TWINSTREAM_REDIS_URL", error)) from None


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__} {error}".partition("\n")[0]
