"""The limits of all callers, over all replicas. No request waits for Redis, and none is refused for its absence."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog

from common.clock import Clock
from common.errors import TryLater
from common.settings import HttpSettings, RedisSettings
from throttling.minutes import NOTHING, Minutes, Usage
from windows.connection import Connection

log = structlog.get_logger()

_EVERY_S: Final = 0.2  # by so much may replicas overshoot together
_KEPT_MS: Final = 180_000


class Throttle:
    """Admits requests; `run` beside it keeps the replicas agreed.

    With Redis away each replica holds to the limit by what it has counted itself.
    """

    def __init__(self, limits: Usage, connection: Connection, prefix: str, clock: Clock) -> None:
        self._minutes = Minutes(limits, clock)
        self._connection = connection
        self._prefix = prefix

    def admit(self, caller_id: str, size: int) -> None:
        """Count a request of `size` bytes.

        Raises:
            Refused: rate_limited.
        """
        self._minutes.admit(caller_id, size)

    async def run(self) -> None:
        """Agree with the other replicas again and again, for as long as the process lives."""
        away = False
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self.agree()
            except TryLater as error:
                if not away:
                    log.warning("limits_not_shared", detail=str(error))
                away = True
            else:
                away = False

    async def agree(self) -> None:
        """Tell what was counted here, and learn what all have counted.

        Raises:
            TryLater: Redis is away; what was counted is told the next time, and may then count twice.
        """
        told = dict(self._minutes.untold())
        if not told:
            return
        minute = self._minutes.minute
        replies = await self._connection.pipelined(
            [
                command
                for caller, usage in told.items()
                for key in [f"{self._prefix}throttle:{minute}:{caller}"]
                for command in (
                    ("HINCRBY", key, "requests", usage.requests),
                    ("HINCRBY", key, "bytes", usage.size),
                    ("PEXPIRE", key, _KEPT_MS),
                )
            ]
        )
        totals = {
            caller: Usage(int(replies[3 * index]), int(replies[3 * index + 1])) for index, caller in enumerate(told)
        }
        self._minutes.agree(minute, told, totals)


@asynccontextmanager
async def throttled(http: HttpSettings, redis: RedisSettings, clock: Clock) -> AsyncIterator[Throttle | None]:
    """A throttle at work, or None where nothing is limited."""
    limits = Usage(http.requests_per_minute, http.bytes_per_minute)
    if limits == NOTHING:
        yield None
        return
    connection = Connection(redis)
    throttle = Throttle(limits, connection, redis.redis_prefix, clock)
    agreeing = asyncio.create_task(throttle.run(), name="throttle")
    try:
        yield throttle
    finally:
        agreeing.cancel()
        await connection.close()
