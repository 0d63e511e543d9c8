"""`twinstream erase a|b ID`."""

import asyncio
from typing import Annotated

import typer
from rich.text import Text

from common.contracts import Stream
from twinstream.client import Client
from twinstream.console import err, printable
from twinstream.errors import CliError
from twinstream.target import Target, target_of


def erase(
    context: typer.Context,
    stream: Annotated[Stream, typer.Argument(help="a or b.", show_default=False)],
    record_id: Annotated[str, typer.Argument(metavar="ID", show_default=False, help="Its unique_identifier.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. It cannot be undone.")] = False,
) -> None:
    """Erase all that was sent under an id, from every store. The log keeps it until its retention has passed."""
    if not yes:
        raise CliError(
            f"{record_id} of stream {stream} would be erased from every store for good", "Say so with --yes."
        )
    asyncio.run(_erase(target_of(context), stream, record_id))
    err().print(Text(f"{printable(record_id)} is erased; the log keeps what was sent until its retention has passed."))


async def _erase(target: Target, stream: Stream, record_id: str) -> None:
    """Erase it, and wait until lookups and counts have followed."""
    async with Client(target) as client:
        receipt = await client.erase(stream, record_id)
        await client.taken_in(stream, receipt)
