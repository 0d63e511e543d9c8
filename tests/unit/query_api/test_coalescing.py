"""Lookups of one moment become one question; each gets its own answer."""

import asyncio
from collections.abc import Collection

import pytest

from common.errors import TryLater
from query_api.coalescing import Coalescer


class Shelf:
    """Squares of numbers, where what is asked is written down and `open` lets answers go out."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[list[str]] = asyncio.Queue()
        self.open = asyncio.Event()
        self.open.set()
        self.trouble: Exception | None = None

    async def fetch(self, keys: Collection[str]) -> dict[str, int]:
        self.asked.put_nowait(sorted(keys))
        await self.open.wait()
        if self.trouble:
            raise self.trouble
        return {key: int(key) ** 2 for key in keys if key.isdecimal()}


async def test_those_of_one_turn_are_asked_for_at_once() -> None:
    """And the same key once."""
    shelf = Shelf()
    coalescer = Coalescer(shelf.fetch)
    assert await asyncio.gather(*map(coalescer.get, ["2", "3", "2", "x"])) == [4, 9, 4, None]
    assert await shelf.asked.get() == ["2", "3", "x"]
    assert shelf.asked.empty()


async def test_nothing_is_remembered() -> None:
    """What is asked for after an answer is read anew: a record may have changed."""
    shelf = Shelf()
    coalescer = Coalescer(shelf.fetch)
    await coalescer.get("2")
    await coalescer.get("2")
    assert shelf.asked.qsize() == 2


async def test_nobody_waits_for_those_before() -> None:
    """A slow answer holds up none that is asked for later."""
    shelf = Shelf()
    coalescer = Coalescer(shelf.fetch)
    shelf.open.clear()
    first = asyncio.create_task(coalescer.get("2"))
    assert await shelf.asked.get() == ["2"]
    second = asyncio.create_task(coalescer.get("3"))
    assert await shelf.asked.get() == ["3"]
    shelf.open.set()
    assert (await first, await second) == (4, 9)


async def test_trouble_reaches_all_who_wait() -> None:
    """And the next question is asked all the same."""
    shelf = Shelf()
    coalescer = Coalescer(shelf.fetch)
    shelf.trouble = TryLater("away")
    results = await asyncio.gather(*map(coalescer.get, ["2", "3"]), return_exceptions=True)
    assert [type(result) for result in results] == [TryLater, TryLater]
    shelf.trouble = None
    assert await coalescer.get("2") == 4


async def test_who_goes_away_takes_nothing_from_the_others() -> None:
    """A client that disconnects while another waits for the same key."""
    shelf = Shelf()
    coalescer = Coalescer(shelf.fetch)
    shelf.open.clear()
    leaving, staying = (asyncio.create_task(coalescer.get("2")) for _ in range(2))
    await shelf.asked.get()
    leaving.cancel()
    shelf.open.set()
    assert await staying == 4
    with pytest.raises(asyncio.CancelledError):
        await leaving
