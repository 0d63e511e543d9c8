"""`twinstream logs SERVICE`: what a process has said, and says."""

import os
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from common.errors import CannotStart
from localstack.logs import last_lines
from localstack.profile import profile_from_environment
from twinstream.console import out, printable
from twinstream.errors import CliError

_LOOK_EVERY_S: Final = 0.25
_STYLES: Final = {"debug": "dim", "info": "green", "warning": "yellow", "error": "red", "critical": "bold red"}
_KNOWN: Final = ("timestamp", "level", "event", "service", "exception")


def logs(
    service: Annotated[str | None, typer.Argument(help="Without it: whose logs there are.")] = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay, and show what comes.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 50,
) -> None:
    """Show the log of a service or a server."""
    console = out()
    log = _log_of(service, console)
    for line in last_lines(log, lines):
        console.print(readable(line))
    if follow:
        with suppress(KeyboardInterrupt, FileNotFoundError):  # Ctrl-C, or a reset
            for line in _following(log):
                console.print(readable(line))


def _log_of(service: str | None, console: Console) -> Path:
    try:
        folder = profile_from_environment().logs
    except CannotStart as error:
        raise CliError("The settings do not fit", str(error)) from error
    names = sorted(path.stem for path in folder.glob("*.log"))
    if service is None:
        console.print(Text("\n".join(names) or "There are no logs yet: `make up` starts everything."))
        raise typer.Exit
    # A service is known by its folder's name, by its package's, and SecantusDB by what it stands in for.
    name = service.replace("_", "-")
    if name not in names:
        raise CliError(f"There is no log of {printable(service)!r}", f"There are: {', '.join(names) or 'none yet'}.")
    return folder / f"{name}.log"


def _following(log: Path) -> Generator[str]:
    """The lines that are added to `log`, through its rotations."""
    with log.open("rb") as file:
        file.seek(0, os.SEEK_END)
        partial = b""
        while True:
            if log.stat().st_size < file.tell():  # emptied meanwhile
                file.seek(0)
                partial = b""
            *whole, partial = (partial + file.read()).split(b"\n")
            yield from (line.decode("utf-8", errors="replace") for line in whole)
            time.sleep(_LOOK_EVERY_S)


def readable(line: str) -> Text:
    """Our own JSON as time, level, event and fields; anything else as it is."""
    try:
        entry = msgspec.json.decode(line, type=dict[str, object])
        at, level, event = str(entry["timestamp"]), str(entry["level"]), str(entry["event"])
    except (msgspec.MsgspecError, KeyError):
        return Text(printable(line))
    text = Text.assemble((f"{_clock(at)} ", "dim"), (f"{level:<8}", _STYLES.get(level, "")), (printable(event), "bold"))
    for name, value in entry.items():
        if name not in _KNOWN:
            text.append(f" {printable(name)}=", style="dim").append(printable(_value(value)))
    if exception := entry.get("exception"):
        text.append("\n" + printable(str(exception), lines=True), style="red")
    return text


def _clock(timestamp: str) -> str:
    """The time of day, to the millisecond, of an ISO timestamp in UTC."""
    return timestamp[11:23] if len(timestamp) > 23 else timestamp


def _value(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
