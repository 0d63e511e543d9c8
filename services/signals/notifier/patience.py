"""Doing a thing until it is done, though a store is away for a while, and ending it however deaf it is."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from common import metrics
from common.errors import TryLater
from signals.notifier.mongo import SERVICE

log = structlog.get_logger()

T = TypeVar("T")

_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 5.0
_PATIENCE_S: Final = 60 * 60.0  # if the store is away from us alone, another notifier shall have what is ours
_HEARD_WITHIN_S: Final = 0.5


async def until_done(attempt: Callable[[], Awaitable[T]], patience_s: float = _PATIENCE_S) -> T:
    """What `attempt` gives once it succeeds; it may be made more than once.

    Raises:
        TryLater: it still failed when `patience_s` were over; the last failure.
    """
    loop = asyncio.get_running_loop()
    deadline, wait_s = loop.time() + patience_s, _FIRST_WAIT_S
    while True:
        try:
            return await attempt()
        except TryLater as error:
            metrics.STORE_FAILURES.labels(SERVICE).inc()
            if loop.time() + wait_s > deadline:
                raise
            log.warning("store_away", detail=str(error), wait_s=wait_s)
        await asyncio.sleep(wait_s)
        wait_s = min(_LONGEST_WAIT_S, wait_s * 2)


async def until_ended(work: asyncio.Task[None]) -> None:
    """Cancel `work` until it hears: `wait_for` of Python 3.11, which the driver uses, may swallow a cancellation.

    Raises what `work` failed at before.
    """
    while not work.done():
        work.cancel()
        await asyncio.wait([work], timeout=_HEARD_WITHIN_S)
    if not work.cancelled():
        work.result()
