"""`twinstream rules`: make, change, try and delete the rules that find signals."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer
from rich.text import Text

from common.alerts import Severity
from common.contracts import Stream
from twinstream import rules_shown
from twinstream.client import MAX_PAGE, Client, Page, segment
from twinstream.console import JsonFlag, err, out, printable, wants_json, write_json
from twinstream.errors import CliError
from twinstream.target import Target, target_of

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="Make, change, try and delete the rules that find signals.")

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="The rule's name.")]
Keywords = Annotated[
    list[str] | None, typer.Option("--keyword", "-k", help="A word or phrase, any of which must be there.")
]
Regexes = Annotated[list[str] | None, typer.Option("--regex", "-r", help="A regex of RE2, any of which must be found.")]
All = Annotated[list[str] | None, typer.Option("--all", help="A keyword that must be there too.")]
None_ = Annotated[list[str] | None, typer.Option("--none", help="A keyword that must not be there.")]
When = Annotated[str | None, typer.Option(help="A condition in CEL, such as 'number > 100.0'.")]
Streams = Annotated[list[Stream] | None, typer.Option("--stream", help="Whose records it looks at; both by default.")]
Severe = Annotated[Severity, typer.Option(help="How bad it is.")]
Destinations = Annotated[list[str] | None, typer.Option("--destination", "-d", help="Who is told.")]
Cooldown = Annotated[int, typer.Option(metavar="SECONDS", help="For how long after a message nobody is told again.")]
Group = Annotated[int, typer.Option(metavar="SECONDS", help="Later ones within so many seconds become one digest.")]
File = Annotated[
    Path | None, typer.Option("--file", "-f", help="The rule as JSON, in place of the other options; - is stdin.")
]


@app.command()
def create(  # noqa: PLR0913  # one per option
    context: typer.Context,
    name: Name,
    *,
    keywords: Keywords = None,
    regexes: Regexes = None,
    all_: All = None,
    none: None_ = None,
    when: When = None,
    streams: Streams = None,
    severity: Severe = Severity.WARNING,
    destinations: Destinations = None,
    cooldown: Cooldown = 0,
    group: Group = 0,
    file: File = None,
    json: JsonFlag = None,
) -> None:
    """Make a rule; within a second every record that comes is matched against it."""
    terms = {"keywords": keywords, "regexes": regexes, "all": _terms(all_), "none": _terms(none), "when": when}
    told = {"streams": streams, "destinations": destinations, "cooldown_seconds": cooldown, "group_seconds": group}
    body = _read(file) if file else _given({**terms, **told, "severity": severity})
    _show(_call(target_of(context), "POST", "/v1/rules", {**body, "name": name}), json)


@app.command()
def change(
    context: typer.Context,
    name: Name,
    file: Annotated[Path, typer.Option("--file", "-f", help="The whole rule as JSON; - is stdin.")],
    *,
    json: JsonFlag = None,
) -> None:
    """Change a rule: `rules get NAME --json > rule.json`, edit it, hand it in."""
    _show(_call(target_of(context), "PUT", _path(name), {**_read(file), "name": name}), json)


@app.command(name="list")
def list_(context: typer.Context, json: JsonFlag = None) -> None:
    """List the rules."""
    found = _with(target_of(context), _all)
    if not found and not wants_json(json):
        err().print(Text("There are none yet: `twinstream rules create refunds --keyword refund`.", style="dim"))
        return
    if wants_json(json):
        for raw in found:
            write_json(raw)
    else:
        out().print(rules_shown.table(found))


@app.command()
def get(context: typer.Context, name: Name, json: JsonFlag = None) -> None:
    """Look at a rule."""
    _show(_call(target_of(context), "GET", _path(name)), json)


@app.command()
def enable(context: typer.Context, name: Name) -> None:
    """Match records against a rule again."""
    _switch(target_of(context), name, enabled=True)
    err().print(Text(f"{printable(name)} is enabled."))


@app.command()
def disable(context: typer.Context, name: Name) -> None:
    """Match no record against a rule until it is enabled again."""
    _switch(target_of(context), name, enabled=False)
    err().print(Text(f"{printable(name)} is disabled."))


@app.command()
def delete(context: typer.Context, name: Name) -> None:
    """Delete a rule; its alerts stay."""
    _call(target_of(context), "DELETE", _path(name))
    err().print(Text(f"{printable(name)} is deleted."))


@app.command(name="test")
def try_(  # noqa: PLR0913  # one per option
    context: typer.Context,
    text: Annotated[str, typer.Argument(metavar="TEXT", show_default=False, help="What a record says; quote it.")],
    *,
    rule: Annotated[str | None, typer.Option(help="The name of a rule.")] = None,
    keywords: Keywords = None,
    regexes: Regexes = None,
    file: File = None,
    stream: Annotated[Stream, typer.Option(help="The stream that the record is of.")] = Stream.B,
    number: Annotated[float, typer.Option(help="The record's number.")] = 0.0,
    json: JsonFlag = None,
) -> None:
    """Try a rule on a text: where it holds, or why not. Exits with 1 when it does not."""
    asked: object = rule or (_read(file) if file else _given({"keywords": keywords, "regexes": regexes}))
    body = {"rule": asked, "stream": stream, "record": {"text": text, "number": number}}
    answer = _call(target_of(context), "POST", "/v1/rules/test", body)
    if wants_json(json):
        write_json(answer)
    else:
        out().print(rules_shown.trial(text, answer))
    raise typer.Exit(0 if msgspec.json.decode(answer)["matched"] else 1)


@app.command()
def backtest(  # noqa: PLR0913  # one per option
    context: typer.Context,
    name: Name,
    *,
    hours: Annotated[float, typer.Option(help="How many hours back.")] = 24.0,
    max_records: Annotated[int, typer.Option(help="Of more records than these, the newest are looked at.")] = 100_000,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Try this in place of the rule; - is stdin.")
    ] = None,
    json: JsonFlag = None,
) -> None:
    """Try a rule on the past: how often it would have held, and how many messages it would have sent."""
    body = {"hours": hours, "max_records": max_records, "rule": _read(file) if file else None}
    answer = _call(target_of(context), "POST", f"{_path(name)}/backtest", body)
    if wants_json(json):
        write_json(answer)
    else:
        out().print(rules_shown.backtest(answer))


# --- calls ----------------------------------------------------------------------------------------------------------


def _with(target: Target, call: Callable[[Client], Awaitable[T]]) -> T:
    async def made() -> T:
        async with Client(target) as client:
            return await call(client)

    return asyncio.run(made())


def _call(target: Target, method: str, path: str, body: object = None) -> msgspec.Raw:
    return _with(target, lambda client: client.query_api(method, path, body))


async def _all(client: Client) -> list[msgspec.Raw]:
    found: list[msgspec.Raw] = []
    cursor: str | None = ""
    while cursor is not None:
        raw = await client.query_api("GET", "/v1/rules", params={"limit": str(MAX_PAGE), "cursor": cursor})
        page = msgspec.json.decode(raw, type=Page)
        found, cursor = found + page.items, page.next_cursor
    return found


def _switch(target: Target, name: str, *, enabled: bool) -> None:
    async def switched(client: Client) -> None:
        rule = _asked(msgspec.json.decode(await client.query_api("GET", _path(name))))
        await client.query_api("PUT", _path(name), {**rule, "enabled": enabled})

    _with(target, switched)


def _path(name: str) -> str:
    return f"/v1/rules/{segment(name)}"


# --- rules ----------------------------------------------------------------------------------------------------------


def _given(options: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in options.items() if value}


def _terms(keywords: list[str] | None) -> dict[str, object] | None:
    return {"keywords": keywords} if keywords else None


def _read(path: Path) -> dict[str, Any]:
    """A rule out of a file: what `rules get` shows may be handed in again."""
    try:
        raw = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
        return _asked(msgspec.json.decode(raw, type=dict[str, Any]))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CliError(f"{path} holds no rule", f"{error}.") from None


def _asked(rule: dict[str, Any]) -> dict[str, Any]:
    """Without what only answers have."""
    return {name: value for name, value in rule.items() if name not in {"version", "match_revision"}}


def _show(raw: msgspec.Raw, json: bool | None) -> None:  # noqa: FBT001  # the value of an option, passed on
    if wants_json(json):
        write_json(raw)
    else:
        out().print(rules_shown.table([raw]))
