"""Reads the metrics of running services, once a second."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Final

import httpx

from twinstream.flow.rates import Flow, Window
from twinstream.flow.sample import sample

_EVERY_S: Final = 1.0
_PATIENCE_S: Final = 2.0


async def flows(urls: Sequence[str]) -> AsyncGenerator[Flow]:
    """What flows through the services whose metrics are at `urls`, second by second, without an end."""
    window, loop = Window(), asyncio.get_running_loop()
    pages = [""] * len(urls)
    async with httpx.AsyncClient(timeout=_PATIENCE_S, trust_env=False) as client:
        while True:
            # What is away stands still: were it missed, its return would look like a flood.
            fresh = await asyncio.gather(*(_page(client, url) for url in urls))
            pages = [new or old for new, old in zip(fresh, pages, strict=True)]
            flow = window.add(sample(loop.time(), pages))
            if flow is not None:
                yield flow
            await asyncio.sleep(_EVERY_S)


async def _page(client: httpx.AsyncClient, url: str) -> str:
    """The metrics at `url`; empty while it is away, which is told elsewhere."""
    try:
        answer = await client.get(url)
    except httpx.HTTPError:
        return ""
    return answer.text if answer.status_code == httpx.codes.OK else ""
