"""`twinstream silences`: times in which alerts are kept but not sent."""

from typing import Annotated, Any, Final

import typer
from rich.text import Text

from common.alerts import Severity
from twinstream.client import segment
from twinstream.console import JsonFlag, err, printable
from twinstream.signals.client import with_client
from twinstream.signals.show import plain, second, show, state
from twinstream.target import target_of

app = typer.Typer(no_args_is_help=True, help="Make, list and end times in which alerts are kept but not sent.")

_PATH: Final = "/v1/silences"
_COLUMNS: Final = ("id", "state", "from", "until", "what")


@app.command()
def create(  # noqa: PLR0913  # one per option
    context: typer.Context,
    *,
    minutes: Annotated[float | None, typer.Option(help="How long it lasts; or give --until.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="When it ends: RFC 3339.")] = None,
    since: Annotated[str | None, typer.Option("--from", metavar="TIME", help="When it begins; now.")] = None,
    rule: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this rule.")] = None,
    severity: Annotated[Severity | None, typer.Option(help="Only of this severity.")] = None,
    destination: Annotated[str | None, typer.Option(metavar="NAME", help="Only to this destination.")] = None,
    a: Annotated[str | None, typer.Option("--a", metavar="ID", help="Only on this A and its B.")] = None,
    comment: Annotated[str, typer.Option(help="Why, for others.")] = "",
    json: JsonFlag = None,
) -> None:
    """Make a silence; what it does not name, it silences all of."""
    named = {"rule": rule, "severity": severity, "destination": destination, "a_id": a}
    times = {"starts_at": since, "ends_at": until, "minutes": minutes}
    body = {name: value for name, value in {**named, **times}.items() if value is not None}
    made = with_client(
        target_of(context), lambda client: client.do("POST", _PATH, {**body, "comment": comment}), once=True
    )
    show([made], json, _COLUMNS, _row, none="")


@app.command(name="list")
def list_(context: typer.Context, json: JsonFlag = None) -> None:
    """List the silences, the last to end first."""
    found = with_client(target_of(context), lambda client: client.all_of(_PATH))
    show(found, json, _COLUMNS, _row, none="There are none.")


@app.command()
def delete(
    context: typer.Context,
    silence_id: Annotated[str, typer.Argument(metavar="ID", show_default=False, help="As `silences list` shows it.")],
) -> None:
    """End a silence; what it kept is not sent by itself."""
    with_client(target_of(context), lambda client: client.do("DELETE", f"{_PATH}/{segment(silence_id)}"))
    err().print(Text(f"{printable(silence_id)} is over."))


def _row(silence: dict[str, Any]) -> list[Text]:
    named = [
        f"{name} {silence[name]}" for name in ("rule", "severity", "destination", "stream", "a_id") if silence[name]
    ]
    what = plain(", ".join(named) or "everything").append(f" {printable(silence['comment'])}", style="dim")
    times = (second(silence["starts_at"]), second(silence["ends_at"]))
    return [plain(silence["id"]), state(silence["state"]), *times, what]
