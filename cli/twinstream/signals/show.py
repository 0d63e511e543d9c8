"""How these commands show what they are answered: JSON lines for programs, tables for people."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from rich.table import Table
from rich.text import Text

from twinstream.console import err, out, printable, wants_json, write_json

Row = Callable[[dict[str, Any]], Sequence[Text]]

_SEVERITIES: Final = {"info": "", "warning": "yellow", "critical": "bold red"}
_STATES: Final = {
    "delivered": "green",
    "failed": "red",
    "pending": "yellow",
    "held": "yellow",
    "open": "yellow",
    "acknowledged": "dim",
    "resolved": "green",
    "ok": "green",
    "failing": "yellow",
    "given_up": "bold red",
    "disabled": "dim",
    "active": "yellow",
}


def show(
    found: Sequence[msgspec.Raw],
    json: bool | None,  # noqa: FBT001  # the value of an option, passed on
    columns: Sequence[str],
    row: Row,
    *,
    none: str,
) -> None:
    """What was found, or for people that there is none."""
    if wants_json(json):
        for raw in found:
            write_json(raw)
        return
    if not found:
        err().print(Text(none, style="dim"))
        return
    table = Table(*columns[:-1], box=None, pad_edge=False, header_style="dim")
    table.add_column(columns[-1], ratio=1, overflow="fold")
    for raw in found:
        table.add_row(*row(msgspec.json.decode(raw)))
    out().print(table)


def plain(value: object) -> Text:
    """A value as it is, safe to show; nothing for null."""
    return Text("" if value is None else printable(str(value)))


def second(moment: str | None) -> Text:
    """A moment to the second."""
    return Text("" if moment is None else moment[:19].replace("T", " "))


def severity(value: str) -> Text:
    return Text(value, style=_SEVERITIES.get(value, ""))


def state(value: str) -> Text:
    return Text(value, style=_STATES.get(value, ""))


def found_in(alert: dict[str, Any]) -> Text:
    """What matched, marked in the text around it."""
    if not alert["record"]:
        return Text("erased", style="dim")
    text = str(alert["record"]["text"])
    spans = [(match["start"], match["end"]) for match in alert["matches"] if match["field"] == "text"]
    start = max(0, min((at for at, _ in spans), default=0) - 30)
    shown, at = Text("…" if start else ""), start
    for begin, end in sorted(spans):
        if begin >= at:
            shown.append(printable(text[at:begin]))
            shown.append(printable(text[begin:end]), style="bold reverse")
            at = end
    rest = text[at : max(at, start + 120)]
    shown.append(printable(rest))
    return shown.append("…") if at + len(rest) < len(text) else shown
