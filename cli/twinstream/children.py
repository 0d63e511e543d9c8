"""`twinstream children A_ID`: the B of an A, as they come."""

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Final, NamedTuple

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from twinstream.client import Client
from twinstream.console import JsonFlag, err, out, printable, wants_json, write_json
from twinstream.records import Stored, grouped
from twinstream.target import Target, target_of

_TIME_WIDTH: Final = 19  # 2026-11-23 08:00:00
_NUMBER_WIDTH: Final = 10
_TEXT: Final = 300  # characters that any terminal's line could show


class Order(StrEnum):
    """In which order; by time, the newest is the first."""

    TIME = "time"
    ID = "id"


def children(  # noqa: PLR0913  # one per option
    context: typer.Context,
    a_id: Annotated[str, typer.Argument(metavar="A_ID", show_default=False, help="The unique_identifier of an A.")],
    *,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    order: Annotated[Order, typer.Option(help="By time, newest first, or by id.")] = Order.TIME,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Not older than that: RFC 3339, or epoch milliseconds.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them, however many.")] = False,
    json: JsonFlag = None,
) -> None:
    """List the B of an A."""
    show = _json_lines if wants_json(json) else _Rows(out()).show
    wanted = _Wanted(a_id, order, since, None if everything else limit)
    if not asyncio.run(_each_page(target_of(context), wanted, show)):
        err().print(Text(f"{printable(a_id)} has no B{' since then' if since else ''}.", style="dim"))


class _Wanted(NamedTuple):
    a_id: str
    order: Order
    since: str | None
    limit: int | None


async def _each_page(target: Target, wanted: _Wanted, show: Callable[[list[msgspec.Raw]], None]) -> int:
    """Show each page as it comes; returns how many records there were."""
    shown = 0
    async with Client(target) as client:
        async for items in client.children(wanted.a_id, order=wanted.order, since=wanted.since, limit=wanted.limit):
            show(items)
            shown += len(items)
    return shown


def _json_lines(items: list[msgspec.Raw]) -> None:
    for raw in items:
        write_json(raw)


class _Rows:
    """Pages as one table, in columns of fixed widths since nobody knows what is to come."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._head = True

    def show(self, items: list[msgspec.Raw]) -> None:
        if not items:
            return
        table = Table(box=None, pad_edge=False, show_header=self._head, header_style="dim", expand=True)
        table.add_column("id", ratio=2, no_wrap=True, overflow="ellipsis")
        table.add_column("event time", width=_TIME_WIDTH, no_wrap=True)
        table.add_column("number", width=_NUMBER_WIDTH, justify="right", no_wrap=True)
        table.add_column("text", ratio=3, no_wrap=True, overflow="ellipsis")
        for raw in items:
            record = msgspec.json.decode(raw, type=Stored)
            text = printable(" ".join(record.text[:_TEXT].split()))
            table.add_row(Text(printable(record.id)), _second(record.event_time), grouped(record.number), Text(text))
        self._console.print(table)
        self._head = False


def _second(time: str) -> str:
    return time[:_TIME_WIDTH].replace("T", " ")
