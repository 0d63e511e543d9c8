"""Until what was sent can be looked up: the store of the local default takes in a thousand or two a second."""

import asyncio
import time
from contextlib import suppress
from typing import Final

from rich.text import Text

from twinstream.client import Client
from twinstream.console import err
from twinstream.errors import CliError
from twinstream.target import Target

_PATIENCE_S: Final = 600.0


def until_found(target: Target, receipt: str) -> None:
    """Wait for the records of `receipt`; Ctrl-C, or a key that may not look up, goes on without them."""
    began_s = time.monotonic()
    # Without a terminal to show it on, the waiting is the same.
    with (
        err().status(Text("being stored; Ctrl-C does not wait for it")),
        suppress(KeyboardInterrupt, CliError, TimeoutError),
    ):
        if asyncio.run(_found(target, receipt)):
            err().print(Text(f"all of it can be looked up after {time.monotonic() - began_s:,.1f} s more", style="dim"))


async def _found(target: Target, receipt: str) -> bool:
    async with Client(target) as client, asyncio.timeout(_PATIENCE_S):
        while not await client.finds_all_of(receipt):
            pass  # each question waits a second for its answer
    return True
