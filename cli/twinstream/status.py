"""`twinstream status`: what runs, since when, and what it takes."""

import time

import msgspec
import psutil
import typer
from rich.table import Table
from rich.text import Text

from common.errors import CannotStart
from localstack.claims import Claim, Claims
from localstack.profile import profile_from_environment
from twinstream.console import JsonFlag, out, wants_json, write_json
from twinstream.errors import CliError

_MIB = 1024 * 1024
_STYLES = {"ready": "green", "starting": "yellow", "died": "red", "orphaned": "red"}


class Line(msgspec.Struct):
    """One process; `pid`, `uptime_s` and `memory_bytes` are None while it is dead."""

    process: str
    state: str
    pid: int | None
    uptime_s: int | None
    ports: list[int]
    memory_bytes: int | None
    restarts: int


def status(*, json: JsonFlag = None) -> None:
    """Show the processes that `up` runs. The exit status is 1 unless all of them are ready."""
    try:
        claims = Claims(profile_from_environment().run)
    except CannotStart as error:
        raise CliError("The settings do not fit", str(error)) from error
    supervised = claims.supervisor() is not None
    lines = [_line(claim, time.time(), supervised=supervised) for claim in claims.all()]
    lines = [line for line in lines if supervised or line.pid is not None]
    if wants_json(json):
        for line in lines:
            write_json(line)
    elif lines:
        out().print(_table(lines))
    if not supervised and not wants_json(json):
        left = "`twinstream up` is gone and left these behind; the next one stops them" if lines else "Nothing runs"
        out().print(Text(f"{left}. `make up` starts everything."))
    raise typer.Exit(0 if lines and all(line.state == "ready" for line in lines) else 1)


def _line(claim: Claim, now_s: float, *, supervised: bool) -> Line:
    process = claim.process()
    return Line(
        process=claim.name,
        state=claim.state.value if supervised else "orphaned",
        pid=None if process is None else process.pid,
        uptime_s=None if process is None else max(0, int(now_s - claim.created)),
        ports=claim.ports,
        memory_bytes=None if process is None else _memory(process),
        restarts=claim.restarts,
    )


def _memory(process: psutil.Process) -> int | None:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return None


def _table(lines: list[Line]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("process", "state"):
        table.add_column(name)
    for name in ("pid", "uptime", "ports", "memory", "restarts"):
        table.add_column(name, justify="right")
    for line in lines:
        table.add_row(
            line.process,
            Text(line.state, style=_STYLES.get(line.state, "")),
            "-" if line.pid is None else str(line.pid),
            "-" if line.uptime_s is None else _duration(line.uptime_s),
            " ".join(map(str, line.ports)),
            "-" if line.memory_bytes is None else f"{line.memory_bytes / _MIB:,.0f} MiB",
            str(line.restarts),
        )
    return table


def _duration(seconds: int) -> str:
    """The two greatest units, such as 3h 07m."""
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours:02}h"
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {seconds:02}s" if minutes else f"{seconds}s"
