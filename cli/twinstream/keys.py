"""`twinstream keys`: make, list and revoke API keys."""

import asyncio
from typing import Annotated

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from common.contracts import Scope
from twinstream.client import Client
from twinstream.console import JsonFlag, err, out, printable, wants_json, write_json
from twinstream.retries import RetryPolicy
from twinstream.target import Target, target_of

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys: for keys with the scope admin.")


class Key(msgspec.Struct):
    """A key as query-api answers it; `key`, its token, only when it was just made."""

    id: str
    name: str
    scopes: list[str]
    created_at: str
    revoked_at: str | None = None
    key: str | None = None


@app.command()
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(show_default=False, help="What it is for, to tell keys apart.")],
    scope: Annotated[
        list[Scope], typer.Option(show_default=False, help="What it may do; repeat it for several scopes.")
    ],
    json: JsonFlag = None,
) -> None:
    """Make a key. It is shown this once and cannot be read back."""
    raw = asyncio.run(_create(target_of(context), name, scope))
    if wants_json(json):
        write_json(raw)
        return
    made = msgspec.json.decode(raw, type=Key)
    out().print(Text(made.key or ""), soft_wrap=True)
    told = f"Keep it: only its hash is stored. `twinstream keys revoke {made.id}` takes it out of force."
    err().print(Text(told, style="dim"))


@app.command(name="list")
def list_(context: typer.Context, json: JsonFlag = None) -> None:
    """List all keys, revoked ones too."""
    keys = asyncio.run(_list(target_of(context)))
    if wants_json(json):
        for raw in keys:
            write_json(raw)
        return
    out().print(_table([msgspec.json.decode(raw, type=Key) for raw in keys]))


@app.command()
def revoke(
    context: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="ID", show_default=False, help="As `keys list` shows it.")],
) -> None:
    """Revoke a key: from then on it opens nothing."""
    asyncio.run(_revoke(target_of(context), key_id))
    err().print(Text(f"{printable(key_id)} is revoked."))


async def _create(target: Target, name: str, scopes: list[Scope]) -> msgspec.Raw:
    # Not repeated: a key that was made though no answer came would be in force and nobody would have it.
    async with Client(target, retries=RetryPolicy(patience_s=0)) as client:
        return await client.create_key(name, scopes)


async def _list(target: Target) -> list[msgspec.Raw]:
    async with Client(target) as client:
        return await client.keys()


async def _revoke(target: Target, key_id: str) -> None:
    async with Client(target) as client:
        await client.revoke_key(key_id)


def _table(keys: list[Key]) -> Table:
    table = Table("id", "name", "scopes", "since", "state", box=None, pad_edge=False, header_style="dim")
    for key in keys:
        state = Text("in force", style="green") if key.revoked_at is None else Text("revoked", style="red")
        table.add_row(key.id, Text(printable(key.name)), Text(" ".join(key.scopes)), _day(key.created_at), state)
    return table


def _day(time: str) -> str:
    return time.partition("T")[0]
