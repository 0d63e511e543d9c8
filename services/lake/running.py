"""How the lake's processes run: parts side by side, and a status server beside them."""

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from common.concurrency import all_of
from common.health import Health, StatusServer


class Part(Protocol):
    """What works until it is told to stop."""

    def run(self, stop: asyncio.Event) -> Coroutine[Any, Any, None]: ...


async def run_all(
    assembled: AbstractAsyncContextManager[Sequence[Part]], stop: asyncio.Event, *, host: str, port: int, health: Health
) -> None:
    """Run all parts until `stop` is set; when one ends, for whatever reason, the others are told to."""
    status = StatusServer(host, port, health)
    status.start()
    beating = asyncio.create_task(health.beat(), name="heartbeat")
    try:
        async with assembled as parts:
            await all_of([_ending_all(part.run(stop), stop) for part in parts])
    finally:
        beating.cancel()
        status.stop()


async def _ending_all(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    """Half a process looks alive and is not."""
    try:
        await work
    finally:
        stop.set()
