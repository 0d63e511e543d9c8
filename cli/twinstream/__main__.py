"""The `twinstream` command."""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from twinstream import conditions, keys, rejected, rules
from twinstream.audit import audit
from twinstream.backup import backup, restore
from twinstream.children import children
from twinstream.console import report
from twinstream.count import count
from twinstream.demo.command import demo
from twinstream.down import down
from twinstream.erase import erase
from twinstream.errors import CliError
from twinstream.get import get
from twinstream.init import init
from twinstream.logs import logs
from twinstream.project import command as project
from twinstream.repair import rebuild
from twinstream.reset import reset
from twinstream.send import send
from twinstream.signals import alerts, deliveries, destinations, silences
from twinstream.sql import sql
from twinstream.status import status
from twinstream.target import Target, base_url
from twinstream.up import up

app = typer.Typer(
    name="twinstream",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # they may hold keys and records
    help="Two endless record streams: notified, counted, looked up and explored.",
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001  # typer calls it so
    if wanted:
        print(version("twinstream"))  # noqa: T201  # for programs, too
        raise typer.Exit


@app.callback()
def target(
    context: typer.Context,
    *,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="TWINSTREAM_URL",
            callback=base_url,
            show_default="http://127.0.0.1:8000",
            help="Where query-api is.",
        ),
    ] = None,
    ingest_url: Annotated[
        str | None,
        typer.Option(
            envvar="TWINSTREAM_INGEST_URL",
            callback=base_url,
            show_default="http://127.0.0.1:8001",
            help="Where ingest is.",
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            envvar="TWINSTREAM_KEY",
            show_default="the content of .twinstream/key",
            help="The API key. Other users of this machine can see options: prefer the variable.",
        ),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take in what every command shares."""
    context.obj = Target.of(url, ingest_url, key)


app.command()(up)
app.command()(down)
app.command()(status)
app.command()(logs)
app.command()(reset)
app.command()(demo)
app.command()(send)
app.command()(get)
app.command()(children)
app.command()(count)
app.command()(sql)
app.command()(erase)
app.add_typer(conditions.app, name="conditions")
app.add_typer(rules.app, name="rules")
app.add_typer(alerts.app, name="alerts")
app.add_typer(destinations.app, name="destinations")
app.add_typer(silences.app, name="silences")
app.add_typer(deliveries.app, name="deliveries")
app.add_typer(keys.app, name="keys")
app.add_typer(rejected.app, name="rejected")
app.add_typer(project.app, name="project")
app.command()(rebuild)
app.command()(audit)
app.command()(init)
app.command()(backup)
app.command()(restore)


def main() -> None:
    """Run the command; what goes wrong is told, not traced."""
    try:
        app(prog_name="twinstream")
    except CliError as error:
        report(error)
        sys.exit(1)
    except OSError as error:  # a full disk, a folder that is not ours
        report(CliError(error.strerror or str(error), str(error.filename or "")))
        sys.exit(1)


if __name__ == "__main__":
    main()
