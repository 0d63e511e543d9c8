"""Many lookups of one record at the same time become one question to the store: a call costs more than a record."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

V = TypeVar("V")

Fetch = Callable[[Collection[str]], Awaitable[Mapping[str, V]]]
"""Answers the values it found by key; keys without one are left out."""


class Coalescer(Generic[V]):
    """Gathers the keys that are asked for within one turn of the event loop into one `fetch`.

    Nothing waits for company: a lookup that comes alone is fetched in the next turn. Nothing is remembered: what is
    asked for afterwards is fetched anew.
    """

    def __init__(self, fetch: Fetch[V]) -> None:
        self._fetch = fetch
        self._waiting: dict[str, list[asyncio.Future[V | None]]] = {}
        self._fetching: set[asyncio.Task[None]] = set()

    async def get(self, key: str) -> V | None:
        """The value of `key`, or None.

        Raises:
            Exception: whatever `fetch` raised.
        """
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._depart)
        # A future for each who waits, so that one who goes away takes nothing from the others.
        future: asyncio.Future[V | None] = loop.create_future()
        self._waiting.setdefault(key, []).append(future)
        return await future

    def _depart(self) -> None:
        waiting, self._waiting = self._waiting, {}
        fetching = asyncio.create_task(self._answer(waiting))
        self._fetching.add(fetching)
        fetching.add_done_callback(self._fetching.discard)

    async def _answer(self, waiting: Mapping[str, list[asyncio.Future[V | None]]]) -> None:
        try:
            found = await self._fetch(waiting.keys())
        except Exception as error:  # noqa: BLE001  # handed on, to whom it concerns
            for future in _still_waited_for(waiting.values()):
                future.set_exception(error)
            return
        for key, futures in waiting.items():
            for future in _still_waited_for([futures]):
                future.set_result(found.get(key))


def _still_waited_for(groups: Collection[list[asyncio.Future[V | None]]]) -> list[asyncio.Future[V | None]]:
    return [future for group in groups for future in group if not future.done()]
