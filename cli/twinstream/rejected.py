"""`twinstream rejected`: look through what was refused, and put it into the log after all."""

import asyncio
import sys
from base64 import b64decode
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from common.contracts import Stream
from twinstream.client import Client
from twinstream.console import JsonFlag, err, out, printable, wants_json, write_json
from twinstream.errors import CliError, RecordError
from twinstream.target import Target, target_of

app = typer.Typer(no_args_is_help=True, help="Look through rejected records, mend them and replay them.")

_SECOND: Final = 19  # characters of 2026-11-23T08:00:00
_DONE: Final = frozenset({"acceptable", "replayed", "replayed_before"})
_STYLES: Final = {"acceptable": "green", "replayed": "green", "replayed_before": "dim"}

Id = Annotated[str, typer.Argument(metavar="ID", show_default=False, help="As `rejected list` shows it.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", show_default=False, help="As `rejected list` shows them.")]


class Rejected(msgspec.Struct):
    """A rejected record as query-api answers it; its bytes only where one is looked at."""

    id: str
    stream: str
    code: str
    detail: str
    rejected_by: str
    rejected_at: str
    size: int
    truncated: bool
    replayed_at: str | None
    text: str | None = None
    base64: str = ""


class Replayed(msgspec.Struct):
    """What became of one rejected record."""

    id: str
    outcome: str
    errors: list[RecordError]
    replayed_at: str | None


@app.command(name="list")
def list_(  # noqa: PLR0913  # one per option
    context: typer.Context,
    *,
    stream: Annotated[Stream | None, typer.Option(help="Only what was sent to this stream.")] = None,
    code: Annotated[str | None, typer.Option(help="Only what was refused for this reason.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Not earlier: RFC 3339, or epoch ms.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Earlier: RFC 3339, or epoch ms.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    json: JsonFlag = None,
) -> None:
    """List what was refused, the newest first, and why."""
    filters = {"stream": stream, "code": code, "since": since, "until": until}
    found = asyncio.run(_listed(target_of(context), filters, limit))
    if wants_json(json):
        for raw in found:
            write_json(raw)
    elif found:
        out().print(_table([msgspec.json.decode(raw, type=Rejected) for raw in found]))
    else:
        err().print(Text("Nothing was rejected.", style="dim"))


@app.command()
def show(
    context: typer.Context,
    rejected_id: Id,
    *,
    raw: Annotated[bool, typer.Option("--raw", help="Only the bytes, as they came: to mend them in a file.")] = False,
    json: JsonFlag = None,
) -> None:
    """Show a rejected record: its bytes as they came, and what is wrong."""
    answer = asyncio.run(_shown(target_of(context), rejected_id))
    rejected = msgspec.json.decode(answer, type=Rejected)
    if raw:
        sys.stdout.buffer.write(b64decode(rejected.base64))
        sys.stdout.flush()
    elif wants_json(json):
        write_json(answer)
    else:
        _describe(rejected)


@app.command()
def replay(  # one per option
    context: typer.Context,
    rejected_ids: Ids,
    *,
    record: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            allow_dash=True,
            help="What shall go in its place: a record per line; - is standard input. For one ID.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Without, it is a dry run.")] = False,
    json: JsonFlag = None,
) -> None:
    """Put rejected records into the log after all: as they came, or mended. Each is replayed once.

    Without --yes it only says what would be accepted, and why the rest would not.
    """
    if record is not None and len(rejected_ids) != 1:
        raise typer.BadParameter("with --record, name one ID: the records go in its place")
    records = None if record is None else _records(record)
    items: list[dict[str, object]] = [{"id": one, "records": records} for one in dict.fromkeys(rejected_ids)]
    found = asyncio.run(_replayed(target_of(context), items, dry_run=not yes))
    outcomes = [msgspec.json.decode(raw, type=Replayed) for raw in found]
    if wants_json(json):
        for raw in found:
            write_json(raw)
    else:
        _report(outcomes)
        if not yes and any(one.outcome == "acceptable" for one in outcomes):
            err().print(Text("That was a dry run: --yes does it.", style="dim"))
    if not all(one.outcome in _DONE for one in outcomes):
        raise typer.Exit(1)


async def _listed(target: Target, filters: dict[str, str | None], limit: int) -> list[msgspec.Raw]:
    async with Client(target) as client:
        return [raw async for page in client.rejected(filters, limit=limit) for raw in page]


async def _shown(target: Target, rejected_id: str) -> msgspec.Raw:
    async with Client(target) as client:
        return await client.rejected_record(rejected_id)


async def _replayed(target: Target, items: list[dict[str, object]], *, dry_run: bool) -> list[msgspec.Raw]:
    async with Client(target) as client:
        return await client.replay(items, dry_run=dry_run)


def _records(path: Path) -> list[msgspec.Raw]:
    """The records in a file, one per line; what is no JSON is told here, for no request could hold it."""
    lines = (sys.stdin.buffer if str(path) == "-" else path.open("rb")).read().splitlines()
    records = []
    for number, line in enumerate(lines, 1):
        try:
            msgspec.json.decode(line or b"null")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise CliError(f"Line {number} is not JSON", str(error)) from error
        if line.strip():
            records.append(msgspec.Raw(line))
    if not records:
        raise CliError("There is no record in the file", str(path))
    return records


def _table(found: list[Rejected]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("id", overflow="fold", ratio=2)
    table.add_column("at", width=_SECOND, no_wrap=True)
    table.add_column("code", overflow="fold")
    table.add_column("what is wrong", overflow="fold", ratio=3)
    for one in found:
        at = one.rejected_at[:_SECOND].replace("T", " ")
        detail = Text(printable(one.detail))
        if one.replayed_at:
            detail.append(" (replayed)", style="green")
        table.add_row(Text(printable(one.id)), at, Text(printable(one.code)), detail)
    return table


def _describe(rejected: Rejected) -> None:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("id", Text(printable(rejected.id), style="bold"))
    table.add_row("stream", rejected.stream)
    table.add_row("what is wrong", Text(printable(f"{rejected.detail} ({rejected.code})")))
    table.add_row("rejected", Text(printable(f"{rejected.rejected_at} by {rejected.rejected_by}")))
    table.add_row("replayed", rejected.replayed_at or "no")
    cut = ", of which only the first were kept" if rejected.truncated else ""
    table.add_row("bytes", f"{rejected.size:,}{cut}")
    console = out()
    console.print(table)
    console.print()
    text = b64decode(rejected.base64).decode(errors="backslashreplace") if rejected.text is None else rejected.text
    console.print(Text(printable(text, lines=True)))


def _report(outcomes: list[Replayed]) -> None:
    for one in outcomes:
        at = f" at {one.replayed_at}" if one.replayed_at else ""
        line = Text(f"{one.outcome.replace('_', ' ')}{at}", style=_STYLES.get(one.outcome, "red"))
        out().print(line.append(f"  {printable(one.id)}", style="not dim default"))
        for error in one.errors:
            out().print(Text(printable(f"    record {error.index}: {error.detail} ({error.code})")))
