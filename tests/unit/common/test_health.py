"""What a process says of itself, and how its parts end together."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from common.process import run_all, telling
from localstack.free_ports import free_port


async def test_a_process_is_ready_once_it_has_said_what_that_hangs_on() -> None:
    """Before that it is at its start, and whoever asks must not take it for one that works."""
    port, troubles = free_port(), ["the store is away"]
    async with telling("127.0.0.1", port) as health, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        starting = await http.get("/readyz")
        assert (starting.status_code, starting.json()["problems"]) == (503, {"start": "nothing is at work yet"})
        health.add("store", lambda: next(iter(troubles), None))
        assert (await http.get("/readyz")).json()["problems"] == {"store": "the store is away"}
        troubles.clear()
        assert (await http.get("/readyz")).status_code == 200
        assert (await http.get("/healthz")).status_code == 200
    async with httpx.AsyncClient() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(f"http://127.0.0.1:{port}/healthz")


class Part:
    """Works as it is told to."""

    def __init__(self, work: Callable[[asyncio.Event], Awaitable[object]]) -> None:
        self._work = work
        self.ended = False

    async def run(self, stop: asyncio.Event) -> None:
        try:
            await self._work(stop)
        finally:
            self.ended = True


async def _fail(_: asyncio.Event) -> None:
    raise LookupError


@pytest.mark.parametrize("ends", [lambda _: asyncio.sleep(0), _fail], ids=["in good order", "with a fault"])
async def test_when_one_part_ends_all_do(ends: Callable[[asyncio.Event], Awaitable[object]]) -> None:
    """Half of a process looks alive and is not; a fault is raised once nothing runs any more."""
    parts, stop = [Part(ends), *(Part(asyncio.Event.wait) for _ in range(2))], asyncio.Event()
    async with asyncio.timeout(60):
        done = await asyncio.gather(run_all(parts, stop), return_exceptions=True)
    assert [part.ended for part in parts] == [True] * 3
    assert stop.is_set()
    assert [type(one) for one in done] == [LookupError if ends is _fail else type(None)]
