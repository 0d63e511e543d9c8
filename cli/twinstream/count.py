"""`twinstream count a|b`: how many in the past N hours, as a number or as a plot."""

import asyncio
from enum import StrEnum
from typing import Annotated, Final

import msgspec
import typer
from rich.bar import Bar
from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.contracts import Stream
from twinstream.client import Client
from twinstream.console import JsonFlag, err, out, printable, wants_json, write_json
from twinstream.target import Target, target_of

_STEPS_MIN: Final = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440)
_ROWS: Final = 30
_MINUTE_WIDTH: Final = 16  # 2026-11-23 08:00


class Unit(StrEnum):
    """Ids by their newest version, or records with repeats."""

    ITEMS = "items"
    EVENTS = "events"


class _Answer(msgspec.Struct):
    """What every answer tells besides the count."""

    unit: str
    hours: float
    window_start: str
    window_end: str | None
    as_of: str | None
    lag_seconds: float | None
    complete: bool
    late: int


class _Count(_Answer):
    count: int


class _Bucket(msgspec.Struct):
    start: str
    count: int


class _Series(_Answer):
    items: list[_Bucket]


def count(  # noqa: PLR0913  # one per option
    context: typer.Context,
    stream: Annotated[Stream, typer.Argument(show_default=False, help="Which stream.")],
    *,
    hours: Annotated[float | None, typer.Option(show_default="24", help="The past so many hours.")] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Instead: from when on, RFC 3339.")
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="TIME", help="With --from: up to when.")] = None,
    condition: Annotated[str | None, typer.Option(metavar="NAME", help="Only what holds this condition.")] = None,
    a_id: Annotated[str | None, typer.Option("--a-id", metavar="ID", help="Only the B of this A.")] = None,
    unit: Annotated[Unit | None, typer.Option(help="Ids by their newest version, or records with repeats.")] = None,
    series: Annotated[bool, typer.Option("--series", help="Step by step, as a plot.")] = False,
    step_minutes: Annotated[
        int | None, typer.Option(min=1, show_default="fits the window", help="With --series: how long a step is.")
    ] = None,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Count though the condition has not seen every record yet.")
    ] = False,
    json: JsonFlag = None,
) -> None:
    """Count A or B in the past N hours, or any other window."""
    asked = {
        "hours": None if hours is None else repr(hours),
        "from": from_,
        "to": to,
        "condition": condition,
        "a_id": a_id,
        "unit": unit,
        "allow_partial": "true" if allow_partial else None,
    }
    if series:
        step = step_minutes or _fitting_step(hours)
        asked["step_minutes"] = None if step is None else str(step)
    raw = asyncio.run(_ask(target_of(context), stream, asked, series=series))
    if wants_json(json):
        write_json(raw)
    elif series:
        _show_series(out(), msgspec.json.decode(raw, type=_Series))
    else:
        _show_count(out(), stream, msgspec.json.decode(raw, type=_Count))


async def _ask(target: Target, stream: Stream, asked: dict[str, str | None], *, series: bool) -> msgspec.Raw:
    async with Client(target) as client:
        return await client.count(stream, asked, series=series)


def _fitting_step(hours: float | None) -> int | None:
    """A step that makes about a screen of them; the service's own where the window is given by moments."""
    minutes = (24 if hours is None else hours) * 60
    return next((step for step in _STEPS_MIN if step * _ROWS >= minutes), _STEPS_MIN[-1])


def _show_count(console: Console, stream: Stream, answer: _Count) -> None:
    line = Text(f"{answer.count:,}", style="bold").append(f" {answer.unit} of {stream.upper()} ", style="not bold")
    console.print(line.append(_window(answer), style="not bold"))
    _show_caveats(answer)


def _show_series(console: Console, answer: _Series) -> None:
    most = max((bucket.count for bucket in answer.items), default=0)
    table = Table(box=None, pad_edge=False, show_header=False, expand=True)
    table.add_column(width=_MINUTE_WIDTH, style="dim", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(ratio=1)
    for bucket in answer.items:
        table.add_row(_minute(bucket.start), f"{bucket.count:,}", Bar(most or 1, 0, bucket.count, color="cyan"))
    console.print(table)
    total = sum(bucket.count for bucket in answer.items)
    console.print(Text(f"{total:,}", style="bold").append(f" {answer.unit} {_window(answer)}", style="not bold"))
    _show_caveats(answer)


def _show_caveats(answer: _Answer) -> None:
    """What a reader should know before the number is passed on."""
    lag = "of unknown age" if answer.lag_seconds is None else f"{answer.lag_seconds:.1f} s ago"
    err().print(Text(f"as of {lag}", style="dim"))
    if not answer.complete:
        err().print(Text("Partial: the condition has not seen every record yet.", style="yellow"))
    if answer.late:
        err().print(Text(f"{answer.late:,} records came too late to be counted in any window.", style="yellow"))


def _window(answer: _Answer) -> str:
    if answer.window_end is None:
        return f"since {_minute(answer.window_start)} UTC ({answer.hours:,.4g} h)"
    return f"from {_minute(answer.window_start)} to {_minute(answer.window_end)} UTC"


def _minute(time: str) -> str:
    return printable(time[:_MINUTE_WIDTH]).replace("T", " ")
