"""`twinstream get a|b ID`."""

import asyncio
from typing import Annotated

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from common.contracts import Stream
from twinstream.client import Client
from twinstream.console import JsonFlag, out, printable, wants_json, write_json
from twinstream.records import Stored, grouped
from twinstream.target import Target, target_of


def get(
    context: typer.Context,
    stream: Annotated[Stream, typer.Argument(help="a or b.", show_default=False)],
    record_id: Annotated[str, typer.Argument(metavar="ID", show_default=False, help="Its unique_identifier.")],
    *,
    json: JsonFlag = None,
) -> None:
    """Look up the newest version of a record by its id."""
    raw = asyncio.run(_fetch(target_of(context), stream, record_id))
    if wants_json(json):
        write_json(raw)
        return
    record = msgspec.json.decode(raw, type=Stored)
    console = out()
    console.print(_fields(record))
    console.print()
    console.print(Text(printable(record.text, lines=True)))


async def _fetch(target: Target, stream: Stream, record_id: str) -> msgspec.Raw:
    async with Client(target) as client:
        return await client.record(stream, record_id)


def _fields(record: Stored) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("id", Text(printable(record.id), style="bold"))
    if record.a_id is not None:
        table.add_row("parent", Text(printable(record.a_id)))
    table.add_row("number", grouped(record.number))
    table.add_row("event time", record.event_time)
    table.add_row("ingested at", record.ingested_at)
    table.add_row("first seen", record.first_seen)
    return table
