"""What is said when a sending has ended, or been interrupted."""

from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from twinstream.console import printable
from twinstream.sending.tally import Example, Tally

_DETAIL: Final = 300  # characters of a detail


class Summary(msgspec.Struct):
    """The outcome for programs; `records_per_second` is of this run alone."""

    sent: int
    accepted: int
    refused: int
    refused_by_code: dict[str, int]
    examples: dict[str, list[Example]]
    seconds: float
    records_per_second: float


def summary_of(tally: Tally, already: int, seconds: float) -> Summary:
    """`tally` after `seconds`, of which `already` records were sent by earlier runs."""
    return Summary(
        sent=tally.sent,
        accepted=tally.accepted,
        refused=tally.refused_total,
        refused_by_code=tally.refused,
        examples=tally.examples,
        seconds=round(seconds, 3),
        records_per_second=round(tally.rate(already, seconds), 1),
    )


def show(summary: Summary, console: Console) -> None:
    """Print `summary` for people."""
    line = Text()
    line.append(f"{summary.sent:,} records sent", style="bold")
    line.append(f" in {summary.seconds:,.1f} s ({summary.records_per_second:,.0f}/s): ")
    line.append(f"{summary.accepted:,} accepted", style="green")
    line.append(", ")
    line.append(f"{summary.refused:,} refused", style="red" if summary.refused else "")
    console.print(line)
    if summary.refused:
        console.print(_refusals(summary))


def _refusals(summary: Summary) -> Table:
    table = Table("why", "records", "first of them", box=None, pad_edge=False, header_style="dim")
    table.columns[1].justify = "right"
    for code, count in sorted(summary.refused_by_code.items(), key=lambda item: -item[1]):
        shown = "\n".join(f"line {one.line:,}: {_short(one.detail)}" for one in summary.examples.get(code, []))
        table.add_row(Text(code, style="red"), f"{count:,}", Text(shown))
    return table


def _short(detail: str) -> str:
    safe = printable(detail)
    return safe if len(safe) <= _DETAIL else safe[: _DETAIL - 1] + "…"
