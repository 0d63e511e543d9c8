"""`twinstream alerts`: look through what was found, follow it live, acknowledge and resolve it."""

import asyncio
from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.text import Text

from common.alerts import AlertState, Severity
from common.contracts import Stream
from twinstream.client import segment
from twinstream.console import JsonFlag, err, out, wants_json, write_json
from twinstream.signals.client import SignalsClient, with_client
from twinstream.signals.show import found_in, plain, second, severity, show, state
from twinstream.target import Target, target_of

app = typer.Typer(no_args_is_help=True, help="Look through alerts, follow them live, acknowledge and resolve them.")

_LOOK_EVERY_S: Final = 0.5
_AT_ONCE: Final = 1_000

Id = Annotated[str, typer.Argument(metavar="ID", show_default=False, help="As `alerts list` shows it.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", show_default=False, help="As `alerts list` shows them.")]
OfRule = Annotated[str | None, typer.Option("--rule", metavar="NAME", help="Only of this rule.")]
OfSeverity = Annotated[Severity | None, typer.Option("--severity", help="Only of this severity.")]
OfStream = Annotated[Stream | None, typer.Option("--stream", help="Only on records of this stream.")]
OfA = Annotated[str | None, typer.Option("--a", metavar="ID", help="Only on this A and its B.")]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="Not earlier: RFC 3339, or epoch ms.")]


@app.command(name="list")
def list_(  # noqa: PLR0913  # one per option
    context: typer.Context,
    *,
    rule: OfRule = None,
    severity: OfSeverity = None,
    stream: OfStream = None,
    a: OfA = None,
    in_state: Annotated[AlertState | None, typer.Option("--state", help="Only those that are so.")] = None,
    since: Since = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Earlier: RFC 3339, or epoch ms.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    json: JsonFlag = None,
) -> None:
    """List what was found, the newest first."""
    filters = {"rule": rule, "severity": severity, "stream": stream, "a_id": a, "state": in_state}
    times = {"since": since, "until": until}
    found = with_client(target_of(context), lambda client: client.listed("/v1/alerts", {**filters, **times}, limit))
    show(found, json, ("id", "when", "severity", "rule", "state", "found"), _row, none="There are no such alerts.")


@app.command(name="show")
def show_(context: typer.Context, alert_id: Id, json: JsonFlag = None) -> None:
    """Show an alert: the record, what matched, and whom it reached."""
    raw = with_client(target_of(context), lambda client: client.look(f"/v1/alerts/{segment(alert_id)}"))
    if wants_json(json):
        write_json(raw)
        return
    alert = msgspec.json.decode(raw)
    for name, text in (
        ("rule", plain(f"{alert['rule']} (version {alert['rule_version']})")),
        ("severity", severity(alert["severity"])),
        ("state", state(alert["state"])),
        ("raised", second(alert["raised_at"])),
        ("record", plain(f"{alert['stream']} {alert['record'].get('unique_identifier', '')}")),
        ("found", found_in(alert)),
    ):
        out().print(Text(f"{name:<10}", style="dim").append(text))
    for delivery in alert["deliveries"]:
        told = Text("  ").append(plain(delivery["destination"])).append(" ").append(state(delivery["state"]))
        out().print(told.append(f" {delivery['detail'] or ''}", style="dim"))


@app.command()
def ack(context: typer.Context, alert_ids: Ids) -> None:
    """Acknowledge alerts: somebody has seen them."""
    _mark(target_of(context), alert_ids, "ack")


@app.command()
def resolve(context: typer.Context, alert_ids: Ids) -> None:
    """Resolve alerts: nothing more is to be done about them."""
    _mark(target_of(context), alert_ids, "resolve")


@app.command()
def counts(context: typer.Context, since: Since = None, json: JsonFlag = None) -> None:
    """Count the alerts of each rule, within the past day unless --since says otherwise."""
    path = "/v1/alerts/counts" + (f"?since={segment(since)}" if since else "")
    found = with_client(target_of(context), lambda client: client.all_of(path))
    show(found, json, ("rule", "last", "alerts", "hits"), _count_row, none="No rule has raised an alert.")


@app.command()
def tail(
    context: typer.Context,
    *,
    rule: OfRule = None,
    severity: OfSeverity = None,
    json: JsonFlag = None,
) -> None:
    """Follow alerts as they are found, until Ctrl-C."""
    filters = {"rule": rule, "severity": severity}
    with_client(target_of(context), lambda client: _follow(client, filters, as_json=wants_json(json)))


async def _follow(client: SignalsClient, filters: dict[str, Any], *, as_json: bool) -> None:
    """Show each alert once: those that are as old as the newest one are asked for again, and known."""
    newest = await client.listed("/v1/alerts", filters, 1)
    known = {msgspec.json.decode(raw)["id"] for raw in newest}
    since = msgspec.json.decode(newest[0])["raised_at"] if newest else None
    err().print(Text("Following alerts; Ctrl-C ends it.", style="dim"))
    while True:
        found = await client.listed("/v1/alerts", {**filters, "since": since}, _AT_ONCE)
        alerts = [(raw, msgspec.json.decode(raw)) for raw in reversed(found)]
        _tell([(raw, alert) for raw, alert in alerts if alert["id"] not in known], as_json=as_json)
        if alerts:
            since = alerts[-1][1]["raised_at"]
        known = {alert["id"] for _, alert in alerts} or known
        await asyncio.sleep(_LOOK_EVERY_S)


def _tell(alerts: Iterable[tuple[msgspec.Raw, dict[str, Any]]], *, as_json: bool) -> None:
    for raw, alert in alerts:
        if as_json:
            write_json(raw)
            continue
        line = second(alert["raised_at"]).append(" ").append(severity(f"{alert['severity']:<8}")).append(" ")
        out().print(line.append(plain(alert["rule"])).append(": ").append(found_in(alert)), soft_wrap=True)


def _mark(target: Target, alert_ids: list[str], what: str) -> None:
    async def marked(client: SignalsClient) -> list[dict[str, Any]]:
        return [
            msgspec.json.decode(await client.do("POST", f"/v1/alerts/{segment(alert_id)}/{what}"))
            for alert_id in alert_ids
        ]

    for alert in with_client(target, marked):
        err().print(plain(alert["id"]).append(" is ").append(state(alert["state"])).append("."))


def _row(alert: dict[str, Any]) -> list[Text]:
    return [
        plain(alert["id"]),
        second(alert["raised_at"]),
        severity(alert["severity"]),
        plain(alert["rule"]),
        state(alert["state"]),
        found_in(alert),
    ]


def _count_row(count: dict[str, Any]) -> list[Text]:
    return [
        plain(count["rule"]),
        second(count["last_raised_at"]),
        plain(f"{count['count']:,}"),
        plain(f"{count['hits']:,}"),
    ]
