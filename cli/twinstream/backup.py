"""`twinstream backup` and `twinstream restore`: what cannot be rebuilt, into a file and back."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Awaitable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import structlog
import typer
from rich.text import Text

from common.clock import SystemClock
from common.errors import CannotStart, TryLater
from common.settings import load, secret_files
from localstack.profile import profile_from_environment
from twinstream.console import err
from twinstream.errors import CliError
from twinstream.paths import shown

if TYPE_CHECKING:
    from archive.archive import ArchiveSettings

T = TypeVar("T")


def backup(
    file: Annotated[Path, typer.Argument(dir_okay=False, show_default=False, help="Replaced once all is written.")],
    keep: Annotated[
        int | None,
        typer.Option(min=1, show_default=False, help="Put the moment into the name, and keep that many of these."),
    ] = None,
) -> None:
    """Keep what cannot be rebuilt from the log: rules, keys, destinations, alerts and what became of them.

    Kafka and MongoDB are found as the services find them; they may be at work. Secrets of destinations stay sealed:
    keep TWINSTREAM_SECRET, which opens them, elsewhere. Of API keys there are only hashes.
    """
    # Here, since the drivers would make every other command wait half a second.
    from archive.archive import backup as write  # noqa: PLC0415
    from archive.kept import called_by_moment, forget_all_but  # noqa: PLC0415

    target = file if keep is None else called_by_moment(file, SystemClock().now_ms())
    held = _run(write(_settings(), target, version("twinstream")))
    err().print(Text(f"{shown(target)} holds {_told(held)}."))
    if keep is not None:
        forget_all_but(file, keep)


def restore(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, show_default=False, help="Of `backup`.")],
) -> None:
    """Put back what a backup holds and what is not there. What is there stays as it is, so it may be done again."""
    from archive.archive import restore as put_back  # noqa: PLC0415

    held, put = _run(put_back(_settings(), file))
    there = held - put
    err().print(Text(f"Put back: {_told(put)}."))
    if there:
        err().print(Text(f"There already, and left as it is: {_told(there)}."))


def _settings() -> "ArchiveSettings":
    from archive.archive import ArchiveSettings  # noqa: PLC0415

    try:
        local, elsewhere = profile_from_environment(), secret_files()
        for name, address in (("KAFKA_BOOTSTRAP", local.kafka_bootstrap), ("MONGO_URI", local.mongo_uri)):
            if (variable := f"TWINSTREAM_{name}") not in elsewhere:
                os.environ.setdefault(variable, address)
        return load(ArchiveSettings)
    except CannotStart as error:
        raise CliError("A setting does not fit", str(error)) from error


def _run(work: Awaitable[T]) -> T:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

    async def run() -> T:
        return await work

    try:
        return asyncio.run(run())
    except CannotStart as error:
        raise CliError("That cannot be done", str(error)) from error
    except TryLater as error:
        raise CliError("A server is away", f"{error}. Do it again: nothing is lost by it.") from error


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} of {name}" for name, count in counts.items() if count) or "nothing"
