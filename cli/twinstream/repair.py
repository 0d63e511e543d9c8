"""`twinstream rebuild`: what was derived from the log is derived anew."""

import subprocess
import sys
from enum import StrEnum
from typing import Annotated

import typer

from twinstream.environment import environment_with


class Derived(StrEnum):
    """What can be derived from the log again."""

    AGGREGATES = "aggregates"
    DOCUMENTS = "documents"


class Source(StrEnum):
    """Where a rebuild finds the records."""

    LOG = "log"
    LAKE = "lake"


def rebuild(
    what: Annotated[Derived, typer.Argument(metavar="aggregates|documents", show_default=False, help="Whose data.")],
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Of documents: switch however many of the old ones are missing.")
    ] = False,
    source: Annotated[
        Source,
        typer.Option(
            "--from",
            envvar="TWINSTREAM_REBUILD_FROM",
            help="What Kafka holds, or what the lake has and Kafka from where that ends.",
        ),
    ] = Source.LOG,
) -> None:
    """Fill the windows or documents anew from the log while the old ones serve, compare, switch, delete the old ones.

    Stopped, it leaves the old ones in force; killed, it goes on, or begins anew, when it is started again. Documents of
    which too many are missing do not take the place of the old ones: the exit status is 65.
    """
    if force and what is not Derived.DOCUMENTS:
        raise typer.BadParameter("Only documents are held back.", param_hint="--force")
    forced = {"TWINSTREAM_REBUILD_MISSING_PERCENT": "100"} if force else {}
    _run(f"{what}.rebuild", TWINSTREAM_REBUILD_FROM=source, **forced)


def _run(module: str, **settings: str) -> None:
    """Run a service's module where `up` would: it reads the same settings, and logs what it does."""
    environment = environment_with(settings)
    ended = subprocess.run([sys.executable, "-m", module], env=environment, check=False)  # noqa: S603  # our own
    raise typer.Exit(ended.returncode)
