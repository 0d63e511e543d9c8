"""`twinstream deliveries`: the log of what was sent, and sending it again."""

from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text

from common.deliveries import DeliveryKind, DeliveryState
from twinstream.client import segment
from twinstream.console import JsonFlag, err, out, wants_json, write_json
from twinstream.signals.client import SignalsClient, with_client
from twinstream.signals.show import plain, second, show, state
from twinstream.target import target_of

app = typer.Typer(no_args_is_help=True, help="Look through what was sent, and send it again.")

Id = Annotated[str, typer.Argument(metavar="ID", show_default=False, help="As `deliveries list` shows it.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", show_default=False, help="As `deliveries list` shows them.")]


@app.command(name="list")
def list_(  # noqa: PLR0913  # one per option
    context: typer.Context,
    *,
    destination: Annotated[str | None, typer.Option(metavar="NAME", help="Only to this destination.")] = None,
    in_state: Annotated[DeliveryState | None, typer.Option("--state", help="Only those that are so.")] = None,
    kind: Annotated[DeliveryKind | None, typer.Option(help="Only of this kind.")] = None,
    rule: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this rule.")] = None,
    alert: Annotated[str | None, typer.Option(metavar="ID", help="Only of this alert.")] = None,
    message: Annotated[str | None, typer.Option(metavar="ID", help="Only what is part of this digest.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Not earlier: RFC 3339, or epoch ms.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    json: JsonFlag = None,
) -> None:
    """List deliveries, the newest first; `--state failed` are those that were given up."""
    asked = {"destination": destination, "state": in_state, "kind": kind, "rule": rule, "alert": alert}
    filters = {**asked, "message": message, "since": since}
    found = with_client(target_of(context), lambda client: client.listed("/v1/deliveries", filters, limit))
    show(found, json, ("id", "when", "state", "tries", "detail"), _row, none="There are no such deliveries.")


@app.command(name="show")
def show_(context: typer.Context, delivery_id: Id, json: JsonFlag = None) -> None:
    """Show a delivery, attempt by attempt."""
    raw = with_client(target_of(context), lambda client: client.look(f"/v1/deliveries/{segment(delivery_id)}"))
    if wants_json(json):
        write_json(raw)
        return
    delivery = msgspec.json.decode(raw)
    told = state(delivery["state"]).append(f" {delivery['detail'] or ''}")
    out().print(Text("state     ", style="dim").append(told))
    for attempt in delivery["attempts"]:
        what = attempt["error"] or "arrived"
        line = second(attempt["at"]).append(f"  {attempt['latency_ms']:>6} ms  ").append(plain(what))
        out().print(line.append("  ").append(plain(attempt["response"])), soft_wrap=True)


@app.command()
def redeliver(context: typer.Context, delivery_ids: Ids) -> None:
    """Send deliveries again, each by itself, past silences, cooldowns and limits."""

    async def called_for(client: SignalsClient) -> list[Any]:
        paths = [f"/v1/deliveries/{segment(one)}/redeliver" for one in delivery_ids]
        return [msgspec.json.decode(await client.do("POST", path)) for path in paths]

    for delivery in with_client(target_of(context), called_for):
        err().print(plain(delivery["id"]).append(" is ").append(state(delivery["state"])).append("."))


def _row(delivery: dict[str, Any]) -> list[Text]:
    return [
        plain(delivery["id"]),
        second(delivery["created_at"]),
        state(delivery["state"]),
        plain(delivery["tries"]),
        plain(delivery["detail"] or delivery["message"]),
    ]
