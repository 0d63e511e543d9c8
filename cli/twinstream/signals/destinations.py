"""`twinstream destinations`: make, try, change and delete the places that alerts are sent to."""

import sys
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.text import Text

from twinstream.client import segment
from twinstream.console import JsonFlag, err, out, printable, wants_json, write_json
from twinstream.errors import CliError
from twinstream.signals.client import with_client
from twinstream.signals.show import plain, second, show, state
from twinstream.target import target_of

app = typer.Typer(no_args_is_help=True, help="Make, try, change and delete the places that alerts are sent to.")

_PATH: Final = "/v1/destinations"

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The destination's name.")]
Limit = Annotated[int, typer.Option("--limit-per-hour", min=0, help="Most messages an hour; 0: no limit.")]
Fallback = Annotated[str | None, typer.Option(metavar="NAME", help="Who is told when it is given up.")]


@app.command()
def create(  # noqa: PLR0913  # one per option
    context: typer.Context,
    name: Name,
    *,
    url: Annotated[str | None, typer.Option(metavar="URL", help="A webhook: where messages are posted to.")] = None,
    channel: Annotated[
        str | None, typer.Option(metavar="CHANNEL", help="Slack, with an app: #name or id; its token is asked for.")
    ] = None,
    slack_incoming: Annotated[
        bool, typer.Option("--slack-incoming", help="Slack, with an incoming webhook; its URL is asked for.")
    ] = False,
    limit_per_hour: Limit = 0,
    fallback: Fallback = None,
    json: JsonFlag = None,
) -> None:
    """Make a destination. A webhook's signing secret is printed this once; a token is read from standard input."""
    if (url is not None) + (channel is not None) + slack_incoming != 1:
        raise typer.BadParameter("give one of --url, --channel and --slack-incoming")
    if url is not None:
        way = {"kind": "webhook", "url": url}
    elif channel is not None:
        way = {"kind": "slack", "channel": channel, "token": _asked("The app's bot token")}
    else:
        way = {"kind": "slack", "url": _asked("The incoming webhook's URL")}
    body = {"name": name, **way, "limit_per_hour": limit_per_hour, "fallback": fallback}
    # Not repeated: the secret of a webhook that was made though no answer came would be known to nobody.
    _tell_secret(with_client(target_of(context), lambda client: client.do("POST", _PATH, body), once=True), json)


@app.command(name="list")
def list_(context: typer.Context, json: JsonFlag = None) -> None:
    """List the destinations and how each does."""
    found = with_client(target_of(context), lambda client: client.all_of(_PATH))
    none = "There are none yet: `twinstream destinations create ops --url https://...`."
    show(found, json, ("name", "kind", "to", "state", "last error"), _row, none=none)


@app.command(name="test")
def try_(context: typer.Context, name: Name, json: JsonFlag = None) -> None:
    """Send one message there, and tell what became of it."""
    raw = with_client(target_of(context), lambda client: client.do("POST", f"{_PATH}/{segment(name)}/test"), once=True)
    tried = msgspec.json.decode(raw)
    if wants_json(json):
        write_json(raw)
    else:
        told = state(tried["state"]).append(f" {tried['detail'] or ''}")
        out().print(told.append("".join(f" in {one['latency_ms']} ms" for one in tried["attempts"][-1:])))
    raise typer.Exit(tried["state"] != "delivered")


@app.command()
def rotate(
    context: typer.Context,
    name: Name,
    *,
    keep_former_hours: Annotated[float, typer.Option(min=0, help="For how long the former secret signs too.")] = 24,
    json: JsonFlag = None,
) -> None:
    """Give a webhook a new signing secret; both sign for a while."""
    body = {"keep_former_hours": keep_former_hours}
    raw = with_client(
        target_of(context), lambda client: client.do("POST", f"{_PATH}/{segment(name)}/rotate", body), once=True
    )
    _tell_secret(raw, json)


@app.command()
def delete(context: typer.Context, name: Name) -> None:
    """Delete a destination: what was still to be sent there is kept as failed."""
    with_client(target_of(context), lambda client: client.do("DELETE", f"{_PATH}/{segment(name)}"))
    err().print(Text(f"{printable(name)} is deleted."))


def _asked(what: str) -> str:
    if sys.stdin.isatty():
        err().print(Text(f"{what}:", style="dim"))
    secret = sys.stdin.readline().strip()
    if not secret:
        raise CliError(f"{what} is missing", "Give it on standard input: others of this machine can see options.")
    return secret


def _tell_secret(raw: msgspec.Raw, json: bool | None) -> None:  # noqa: FBT001  # the value of an option, passed on
    if wants_json(json):
        write_json(raw)
        return
    made = msgspec.json.decode(raw)
    if made["secret"] is not None:
        out().print(Text(made["secret"]), soft_wrap=True)
    err().print(Text(f"`twinstream destinations test {made['name']}` tries it.", style="dim"))


def _row(destination: dict[str, Any]) -> list[Text]:
    way = destination["url"] or destination["channel"] or "an incoming webhook"
    error = plain(destination["last_error"])
    if destination["failing_since"] is not None:
        error.append(" since ").append(second(destination["failing_since"]))
    return [plain(destination["name"]), plain(destination["kind"]), plain(way), state(destination["state"]), error]
