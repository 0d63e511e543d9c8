"""`twinstream init`: what a deployment without `twinstream up` needs once before its services start."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from twinstream.console import err
from twinstream.errors import CliError
from twinstream.target import target_of


def init(  # noqa: PLR0913  # one per option
    context: typer.Context,
    *,
    partitions: Annotated[
        int, typer.Option(min=1, max=1000, help="Of each topic of records. It cannot be changed later.")
    ] = 4,
    replication: Annotated[int, typer.Option(min=1, max=9, help="Copies that Kafka keeps of each.")] = 1,
    key: Annotated[
        Path | None,
        typer.Option("--key-file", dir_okay=False, show_default=".twinstream/key", help="Takes the first API key."),
    ] = None,
    given_key: Annotated[
        bool, typer.Option("--given-key", help="Let the key in TWINSTREAM_KEY be the first one, rather than make one.")
    ] = False,
    patience: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for Kafka.")] = 60.0,
) -> None:
    """Make the topics and the first API key. Doing it again changes nothing.

    Kafka is found as the services find it: by TWINSTREAM_KAFKA_BOOTSTRAP and its siblings.
    """
    # Here, since Kafka's client would make every other command wait half a second.
    from twinstream.preparation import prepare  # noqa: PLC0415

    target = target_of(context)
    if given_key and not target.key:
        raise CliError("There is no key to be given", "Set TWINSTREAM_KEY.")
    first: Path | str = target.key if given_key and target.key else key or target.key_file
    prepared = asyncio.run(prepare(first, partitions=partitions, replication=replication, patience_s=patience))
    console = err()
    made = ", ".join(prepared.topics)
    console.print(Text(f"Topics made: {made}" if made else "All topics are there already."))
    where = first if isinstance(first, Path) else "TWINSTREAM_KEY"
    console.print(Text(f"{'The first API key is in' if prepared.key else 'The API key is still in force:'} {where}"))
