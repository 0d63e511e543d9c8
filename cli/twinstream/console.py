"""What goes to the terminal: readable for people, JSON lines for programs."""

import sys
import unicodedata
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from twinstream.errors import CliError

JsonFlag = Annotated[
    bool | None,
    typer.Option("--json/--no-json", help="One JSON object per line. The default where the output is no terminal."),
]

_SPOOFING: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def out() -> Console:
    """Standard output; no colours where it is no terminal or NO_COLOR is set."""
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def err() -> Console:
    """Standard error, likewise."""
    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def wants_json(flag: bool | None) -> bool:  # noqa: FBT001  # the value of an option, passed on
    """What `flag` says, or whether a program reads along."""
    return flag if flag is not None else not sys.stdout.isatty()


def write_json(value: object) -> None:
    """`value` as a line of JSON."""
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.flush()


def printable(text: str, *, lines: bool = False) -> str:
    """Text from a record, safe to show: what would steer a terminal or turn text around is shown as an escape."""
    return "".join(
        char if char.isprintable() or (lines and char == "\n") or not _steers(char) else _escaped(char) for char in text
    )


def report(error: CliError) -> None:
    """Tell on standard error why a command failed."""
    line = Text("Error: ", style="bold red").append(printable(error.title))
    if error.code:
        line.append(f" ({error.code})", style="red")
    err().print(line)
    if error.detail:
        err().print(Text(printable(error.detail, lines=True)))


def _steers(char: str) -> bool:
    return unicodedata.category(char) in _SPOOFING or char in _BIDI


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
