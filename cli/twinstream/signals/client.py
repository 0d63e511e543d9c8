"""Calls to what the commands about alerts need, all of the same few shapes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

import msgspec

from twinstream.client import LOOKUPS, MAX_PAGE, Client, Page, decoded, present
from twinstream.retries import RetryPolicy
from twinstream.target import Target

T = TypeVar("T")

_ONCE: Final = RetryPolicy(patience_s=0)


class SignalsClient(Client):
    """Looks at a path, or has something done at it."""

    async def look(self, path: str) -> msgspec.Raw:
        """What is at `path`."""
        return decoded(await self._call("GET", self._target.url + path), msgspec.Raw)

    async def listed(self, path: str, filters: Mapping[str, str | None], limit: int) -> list[msgspec.Raw]:
        """Up to `limit` of what `path` lists, in as many pages as it takes."""
        found, cursor = list[msgspec.Raw](), None
        while len(found) < limit:
            wanted = {**filters, "limit": str(min(limit - len(found), MAX_PAGE)), "cursor": cursor}
            page = decoded(await self._call("GET", self._target.url + path, params=present(wanted)), Page)
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
        return found

    async def all_of(self, path: str) -> list[msgspec.Raw]:
        """All that `path` lists, which is never more than a page."""
        return decoded(await self._call("GET", self._target.url + path), Page).items

    async def do(self, method: str, path: str, body: object = None) -> msgspec.Raw:
        """Have something done at `path`."""
        if body is not None:
            return await self._send_json(method, self._target.url + path, body)
        return decoded(await self._call(method, self._target.url + path), msgspec.Raw)


def with_client(target: Target, call: Callable[[SignalsClient], Awaitable[T]], *, once: bool = False) -> T:
    """What `call` gives; `once` where a call whose answer was lost must not be made again."""

    async def made() -> T:
        async with SignalsClient(target, retries=_ONCE if once else LOOKUPS) as client:
            return await call(client)

    return asyncio.run(made())
