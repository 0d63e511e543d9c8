"""`twinstream send`: a file of records, however many, into the running system."""

import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from common.contracts import Stream
from twinstream.console import JsonFlag, err, out, printable, wants_json, write_json
from twinstream.errors import CliError
from twinstream.retries import RetryPolicy
from twinstream.sending.checkpoint import Checkpoint, Checkpoints, name_of
from twinstream.sending.run import INTERRUPTED, PATIENCE_S, run
from twinstream.sending.summary import show, summary_of
from twinstream.sending.transfer import Transfer
from twinstream.target import target_of

_STDIN: Final = Path("-")


def _existing(path: Path) -> Path:
    """Typer's own check mistakes the dash for a file; a named pipe will do as well."""
    if path != _STDIN and not path.exists():
        raise typer.BadParameter(f"There is no file {printable(str(path))!r}.")
    if path.is_dir():
        raise typer.BadParameter(f"{printable(str(path))!r} is a folder.")
    return path


NdjsonFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE.ndjson",
        callback=_existing,
        help="One record per line; gzip and zstd are read as they are; - is standard input.",
    ),
]
StreamOption = Annotated[
    Stream | None,
    typer.Option(help="Where all records belong. Without it, those that name a parent go to b, the others to a."),
]
RefusalsOption = Annotated[
    Path | None, typer.Option(dir_okay=False, help="Write every refused record into this file, as NDJSON.")
]
RestartFlag = Annotated[bool, typer.Option("--restart", help="Begin at the first line, though it could go on.")]
Patience = Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for services that are away.")]


def send(  # noqa: PLR0913  # one per option
    context: typer.Context,
    file: NdjsonFile,
    *,
    stream: StreamOption = None,
    refusals: RefusalsOption = None,
    restart: RestartFlag = False,
    patience: Patience = PATIENCE_S,
    json: JsonFlag = None,
) -> None:
    """Send a file of records. Interrupted, the same command goes on where it stopped.

    The exit status is 1 when a record was refused.
    """
    target = target_of(context)
    with ExitStack() as stack:
        ndjson = stack.enter_context(_opened(file))
        checkpoints = None
        if file != _STDIN and ndjson.seekable():
            checkpoints = Checkpoints(target.home / "send", name_of(file, ndjson, stream, target.ingest_url))
        checkpoint = _beginning(checkpoints, restart=restart)
        already = checkpoint.tally.sent
        transfer = stack.enter_context(Transfer(checkpoint, checkpoints, refusals))
        try:
            ended = run(target, transfer.sending(file.name, ndjson, stream), RetryPolicy(patience_s=patience))
        except CliError:
            _tell_place(transfer, resumable=checkpoints is not None)
            raise
        summary = summary_of(checkpoint.tally, already, ended.seconds)
        write_json(summary) if wants_json(json) else show(summary, out())
        if not ended.finished:
            _tell_place(transfer, resumable=checkpoints is not None)
            raise typer.Exit(INTERRUPTED)
        transfer.forget()
    raise typer.Exit(1 if summary.refused else 0)


@contextmanager
def _opened(file: Path) -> Generator[BufferedReader]:
    if file == _STDIN:
        with open(sys.stdin.fileno(), "rb", closefd=False) as ndjson:
            yield ndjson
        return
    try:
        ndjson = file.open("rb")
    except OSError as error:
        raise CliError("The file cannot be read", f"{file}: {error.strerror}.") from error
    with ndjson:
        yield ndjson


def _beginning(checkpoints: Checkpoints | None, *, restart: bool) -> Checkpoint:
    """Where to begin: behind what an earlier run was acknowledged, if there is such a run."""
    kept = None if checkpoints is None or restart else checkpoints.load()
    if kept is None:
        return Checkpoint()
    line = f"Going on after line {kept.position.line:,}, where it stopped; --restart begins again."
    err().print(Text(line, style="yellow"))
    return kept


def _tell_place(transfer: Transfer, *, resumable: bool) -> None:
    if not transfer.checkpoint.position.line:
        return
    how = "the same command goes on there" if resumable else "send what follows it again"
    line = f"Stopped after line {transfer.checkpoint.position.line:,}: everything up to it is in the log; {how}."
    err().print(Text(line, style="yellow"))
