"""`twinstream rebuild` and `twinstream audit`: is what was derived from the log right, and if not, derive it anew."""

import os
import subprocess
import sys
from enum import StrEnum
from typing import Annotated

import typer

from common.errors import CannotStart
from localstack.profile import profile_from_environment
from twinstream.errors import CliError


class Derived(StrEnum):
    """What can be derived from the log again."""

    AGGREGATES = "aggregates"


What = Annotated[Derived, typer.Argument(metavar="aggregates", show_default=False, help="Whose data.")]


def rebuild(_what: What) -> None:
    """Fill the windows anew from the log while the old ones serve, compare, switch, delete the old ones."""
    _run("aggregates.rebuild")


def audit(_what: What) -> None:
    """Compare a sample of the windows with the log. The exit status is 1 when they disagree."""
    _run("aggregates.audit_lane")


def _run(module: str) -> None:
    """Run a service's module where `up` would: it reads the same settings, and logs what it does."""
    try:
        environment = {**profile_from_environment().environment(), **os.environ}
    except CannotStart as error:
        raise CliError("It cannot start", str(error)) from error
    ended = subprocess.run([sys.executable, "-m", module], env=environment, check=False)  # noqa: S603  # our own
    raise typer.Exit(ended.returncode)
