"""`twinstream conditions`: make, change, list and delete the conditions that counts go by."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from common.contracts import Stream
from twinstream.client import Client
from twinstream.console import JsonFlag, err, out, printable, wants_json, write_json
from twinstream.target import Target, target_of

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="Make, change, list and delete the conditions that counts go by.")

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The condition's name.")]
Expression = Annotated[
    str,
    typer.Argument(
        metavar="EXPRESSION", show_default=False, help="CEL on a record, such as 'number > 100.0'; quote it."
    ),
]
PerA = Annotated[bool, typer.Option("--per-a", help="Count it for each A too.")]


class Condition(msgspec.Struct):
    """A condition as query-api answers it."""

    name: str
    stream: str
    expression: str
    per_a: bool
    revision: int
    state: str
    progress: float | None


@app.command()
def create(  # noqa: PLR0913  # one per option
    context: typer.Context,
    name: Name,
    expression: Expression,
    *,
    stream: Annotated[Stream, typer.Option(help="Whose records it looks at.")] = Stream.B,
    per_a: PerA = False,
    json: JsonFlag = None,
) -> None:
    """Make a condition; past records are looked at in the background."""
    target = target_of(context)
    _show([_with(target, lambda client: client.create_condition(name, stream, expression, per_a=per_a))], json)


@app.command()
def change(
    context: typer.Context, name: Name, expression: Expression, *, per_a: PerA = False, json: JsonFlag = None
) -> None:
    """Change a condition; counts go by the former one until the new one has seen every record."""
    target = target_of(context)
    _show([_with(target, lambda client: client.change_condition(name, expression, per_a=per_a))], json)


@app.command(name="list")
def list_(context: typer.Context, json: JsonFlag = None) -> None:
    """List the conditions and how far each is filled."""
    found = _with(target_of(context), lambda client: client.conditions())
    if not found and not wants_json(json):
        err().print(Text("There are none yet: `twinstream conditions create big 'number > 100.0'`.", style="dim"))
        return
    _show(found, json)


@app.command()
def delete(context: typer.Context, name: Name) -> None:
    """Delete a condition: nobody can count by it from then on."""
    _with(target_of(context), lambda client: client.delete_condition(name))
    err().print(Text(f"{printable(name)} is deleted."))


def _with(target: Target, call: Callable[[Client], Awaitable[T]]) -> T:
    async def made() -> T:
        async with Client(target) as client:
            return await call(client)

    return asyncio.run(made())


def _show(found: list[msgspec.Raw], json: bool | None) -> None:  # noqa: FBT001  # the value of an option, passed on
    if wants_json(json):
        for raw in found:
            write_json(raw)
        return
    table = Table("name", "stream", "state", "per A", box=None, pad_edge=False, header_style="dim")
    table.add_column("expression", ratio=1, overflow="fold")
    for raw in found:
        condition = msgspec.json.decode(raw, type=Condition)
        per_a = "yes" if condition.per_a else "no"
        table.add_row(
            condition.name,
            condition.stream,
            _state(condition),
            per_a,
            Text(printable(condition.expression, lines=True)),
        )
    out().print(table)


def _state(condition: Condition) -> Text:
    if condition.state == "ready":
        return Text("ready", style="green")
    done = "" if condition.progress is None else f" {condition.progress:.0%}"
    return Text(condition.state + done, style="yellow")
