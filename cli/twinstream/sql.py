"""`twinstream sql`: ask the lake anything, wait for the answer, show it or keep it."""

import asyncio
import secrets
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from twinstream.client import Client
from twinstream.console import err, out, printable
from twinstream.errors import CliError
from twinstream.target import Target, target_of

_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 2.0
_SHOWN_ROWS: Final = 1_000
_MOST_ROWS: Final = 10_000_000
_MOST_BYTES: Final = 1024**3
_OPEN: Final = frozenset({"queued", "running"})


class Output(StrEnum):
    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


class Failure(msgspec.Struct):
    code: str
    detail: str


class Column(msgspec.Struct):
    name: str
    type: str


class Query(msgspec.Struct):
    """A query as query-api answers it."""

    id: str
    state: str
    progress: float | None = None
    pages: int | None = None
    rows: int | None = None
    truncated: bool | None = None
    error: Failure | None = None


class Result(msgspec.Struct):
    """A page of a result in JSON."""

    columns: list[Column]
    rows: list[list[Any]]


def sql(  # noqa: PLR0913  # one per option
    context: typer.Context,
    query: Annotated[
        str, typer.Argument(metavar="QUERY", show_default=False, help="One SELECT over a, b, a_log, b_log.")
    ],
    *,
    format_: Annotated[
        Output | None,
        typer.Option("--format", show_default="table, or json where the output is no terminal", help="How to show it."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(show_default=False, help="Write into this file; further pages of Parquet or Arrow beside it."),
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A value for $NAME in the query; may be repeated.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, max=_MOST_ROWS, help="Most rows to answer.")] = 100_000,
    timeout: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds that it may run.")] = 60.0,
) -> None:
    """Ask the lake a question in SQL, away from everything else."""
    shown = format_ or (Output.TABLE if sys.stdout.isatty() else Output.JSON)
    if shown in (Output.PARQUET, Output.ARROW) and output is None:
        raise CliError(f"{shown.value} is no text", "Give it a file with --output.")
    asked = {
        "sql": query,
        "parameters": _parameters(param or []),
        "format": "json" if shown is Output.TABLE else shown.value,
        "max_rows": min(rows, _SHOWN_ROWS) if shown is Output.TABLE and output is None else rows,
        "max_bytes": _MOST_BYTES,
        "page_rows": 100_000 if shown in (Output.PARQUET, Output.ARROW) else 10_000,
        "timeout_seconds": timeout,
    }
    asyncio.run(_answer(target_of(context), asked, lambda number, page: _show(shown, output, number, page)))


async def _answer(target: Target, asked: dict[str, Any], show: Callable[[int, bytes], None]) -> None:
    async with Client(target) as client:
        query = msgspec.json.decode(await client.ask(asked, secrets.token_hex(16)), type=Query)
        try:
            query = await _ended(client, query)
        except asyncio.CancelledError:  # Ctrl-C
            await client.cancel_query(query.id)
            raise
        if query.state != "succeeded":
            failure = query.error or Failure(query.state, "")
            raise CliError(f"The query {query.state}", f"{failure.code}: {failure.detail}".rstrip(": "))
        for number in range(query.pages or 0):
            show(number, await client.result(query.id, number))
        if query.truncated:
            err().print(Text(f"There is more: these are the first {query.rows:,} rows (--rows).", style="yellow"))


async def _ended(client: Client, query: Query) -> Query:
    wait_s = _FIRST_WAIT_S
    while query.state in _OPEN:
        await asyncio.sleep(wait_s)
        wait_s = min(_LONGEST_WAIT_S, wait_s * 1.5)
        query = msgspec.json.decode(await client.query(query.id), type=Query)
    return query


def _parameters(given: list[str]) -> dict[str, Any]:
    """By name; what reads as JSON is taken as such, everything else as text."""
    found: dict[str, Any] = {}
    for one in given:
        name, is_given, value = one.partition("=")
        if not is_given:
            raise CliError(f"{one} is no parameter", "Write NAME=VALUE.")
        try:
            found[name] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            found[name] = value
    return found


def _show(shown: Output, output: Path | None, number: int, page: bytes) -> None:
    if shown is Output.JSON:
        page = _lines(page)
    if output is not None:
        _write(output, number, page, whole=shown in (Output.PARQUET, Output.ARROW))
    elif shown is Output.TABLE:
        out().print(_table(msgspec.json.decode(page, type=Result)))
    else:
        sys.stdout.buffer.write(page)
        sys.stdout.flush()


def _lines(page: bytes) -> bytes:
    """One JSON object per row."""
    result = msgspec.json.decode(page, type=Result)
    names = [column.name for column in result.columns]
    return b"".join(msgspec.json.encode(dict(zip(names, row, strict=True))) + b"\n" for row in result.rows)


def _write(output: Path, number: int, page: bytes, *, whole: bool) -> None:
    """Into one file; pages that are complete in themselves, from the second on, beside it with a number."""
    if whole and number:
        output.with_name(f"{output.stem}-{number}{output.suffix}").write_bytes(page)
        return
    with output.open("ab" if number else "wb") as file:
        file.write(page)


def _table(result: Result) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in result.columns:
        is_number = column.type.startswith(("int", "uint", "double", "float", "decimal"))
        table.add_column(printable(column.name), justify="right" if is_number else "left", overflow="fold")
    for row in result.rows:
        table.add_row(*(_cell(value) for value in row))
    return table


def _cell(value: object) -> Text:
    if value is None:
        return Text("null", style="dim")
    return Text(printable(value if isinstance(value, str) else msgspec.json.encode(value).decode(), lines=True))
