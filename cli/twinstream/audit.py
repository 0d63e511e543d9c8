"""`twinstream audit`: do log, documents, windows and lake say the same?"""

import subprocess
import sys
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from twinstream.console import JsonFlag, err, out, printable, wants_json, write_json
from twinstream.environment import environment_with

_DISAGREE: Final = 1
_LEFT_OUT: Final = 3


class Audited(StrEnum):
    """What is held against the log, the documents and each other."""

    AGGREGATES = "aggregates"
    LAKE = "lake"


_MODULES: Final = {Audited.AGGREGATES: "aggregates.audit_lane", Audited.LAKE: "lake.audit"}


class Line(msgspec.Struct):
    """One pair of stores, as an audit logs it."""

    stream: str
    between: str
    looked_at: int
    unit: str
    drift: int
    examples: list[str]
    left_out: str | None


def audit(
    what: Annotated[
        Audited | None,
        typer.Argument(metavar="[aggregates|lake]", show_default="both", help="Whose data to look at."),
    ] = None,
    *,
    ids: Annotated[
        int | None,
        typer.Option(
            min=1, max=1_000_000, show_default="2000", help="Ids of each stream that are compared in the lake."
        ),
    ] = None,
    json: JsonFlag = None,
) -> None:
    """Compare log, documents, windows and lake with each other: samples row by row, totals of whole hours.

    The exit status is 1 when they disagree, and 3 when they do not but something could not be compared.
    """
    more = {} if ids is None else {"TWINSTREAM_LAKE_AUDIT_IDS": str(ids)}
    environment = environment_with({"TWINSTREAM_LOG_LEVEL": "INFO", **more})  # what it finds is read from its log
    lines: list[Line] = []
    statuses: list[int] = []
    for module in _MODULES.values() if what is None else [_MODULES[what]]:
        ran = _Run(module, environment)
        lines += ran.lines()
        statuses.append(ran.status)
    if wants_json(json):
        for line in lines:
            write_json(line)
    else:
        _show(lines)
    raise typer.Exit(_worst(statuses))


class _Run:
    """A service's module, run where `up` would run it: it reads the same settings, and logs what it finds."""

    def __init__(self, module: str, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603  # our own
            [sys.executable, "-m", module], env=environment, stderr=subprocess.PIPE
        )
        self.status = 0

    def lines(self) -> Iterator[Line]:
        """What was compared, as it comes; everything else that matters goes to standard error."""
        assert self._process.stderr is not None  # noqa: S101  # it is a pipe
        for raw in self._process.stderr:
            event = _event(raw)
            if event.get("event") == "audited":
                yield msgspec.convert(event, Line)
            elif event.get("level") != "info":
                err().print(Text(printable(raw.decode(errors="replace").rstrip())))
        self.status = self._process.wait()


def _event(raw: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


def _worst(statuses: list[int]) -> int:
    """A disagreement before what could not be looked at, and that before what was left out."""
    failed = [status for status in statuses if status not in {0, _DISAGREE, _LEFT_OUT}]
    return _DISAGREE if _DISAGREE in statuses else next(iter(failed), max(statuses, default=0))


def _show(lines: list[Line]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("stream", "compared"):
        table.add_column(name)
    for name in ("looked at", "disagree"):
        table.add_column(name, justify="right")
    for line in lines:
        verdict = Text(f"{line.drift:,}", style="red" if line.drift else "green")
        table.add_row(line.stream, line.between, f"{line.looked_at:,} {line.unit}", verdict)
    out().print(table)
    for line in lines:
        for example in line.examples:
            out().print(Text(printable(f"{line.stream}, {line.between}: {example}"), style="red"))
        if line.left_out is not None:
            out().print(
                Text(f"{line.stream}, {line.between}: not all could be compared: {line.left_out}", style="yellow")
            )
