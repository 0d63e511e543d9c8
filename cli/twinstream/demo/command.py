"""`twinstream demo`: something real, or something made up, through the running system."""

import shlex
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from common.contracts import IncomingA
from twinstream.console import err, out
from twinstream.demo.arrival import until_found
from twinstream.demo.debian import debian
from twinstream.demo.shape import B_PER_A, MAX_A_IDS, Shape
from twinstream.demo.source import Source, Witness, outgoing
from twinstream.demo.synthetic import Synthetic
from twinstream.demo.truth import TruthFile
from twinstream.retries import RetryPolicy
from twinstream.sending.pace import UNLIMITED, Pace, parse_rate, wave_size
from twinstream.sending.reporter import Course
from twinstream.sending.run import INTERRUPTED, PATIENCE_S, Sending, run
from twinstream.sending.summary import show, summary_of
from twinstream.sending.tally import Refusal, Tally
from twinstream.sending.waves import Wave, waves
from twinstream.target import Target, target_of

DEFAULT: Final = Shape()

SyntheticFlag = Annotated[
    bool,
    typer.Option(
        "--synthetic", help="Records made up from a seed, in many languages; each option below asks for them, too."
    ),
]
Rate = Annotated[str, typer.Option(help=f"How fast they leave: 12.7/s, 1000/s or {UNLIMITED}.")]
Seed = Annotated[
    int | None, typer.Option(min=0, show_default=str(DEFAULT.seed), help="The same seed makes the same records.")
]
Records = Annotated[
    int | None, typer.Option(min=1, show_default=str(DEFAULT.records), help="How many, one A for every ten B.")
]
TruthOption = Annotated[
    Path | None, typer.Option("--truth", dir_okay=False, help="Write where signals were planted, as NDJSON.")
]
PastDay = Annotated[bool, typer.Option("--past-day", help="Spread event times over the past day.")]


def demo(  # noqa: PLR0913  # one per option
    context: typer.Context,
    *,
    rate: Rate = UNLIMITED,
    synthetic: SyntheticFlag = False,
    seed: Seed = None,
    records: Records = None,
    truth: TruthOption = None,
    past_day: PastDay = False,
) -> None:
    """Stream this machine's Debian packages (A) and the entries of their changelogs (B), or synthetic records."""
    per_second, now_ms = parse_rate(rate), time.time_ns() // 1_000_000
    wants_synthetic = synthetic or past_day or any(option is not None for option in (seed, records, truth))
    with ExitStack() as stack:
        truths = None if truth is None else stack.enter_context(TruthFile(truth))
        source = None if wants_synthetic else debian(now_ms)
        if source is None:
            if not wants_synthetic:
                err().print(Text("There are no Debian packages here: synthetic records instead.", style="yellow"))
            source = made_up(_shape(seed, records), now_ms if past_day else None, truths)
        _stream(target_of(context), source, per_second, truths)


def made_up(shape: Shape, until_ms: int | None, truths: TruthFile | None) -> Source:
    """Synthetic records to stream."""
    passed = 0

    def records() -> Iterator[IncomingA]:
        nonlocal passed
        for record, truth in Synthetic(shape, until_ms):
            passed += 1
            if truth is not None and truths is not None:
                truths.planted(passed, truth)
            yield record

    return Source("synthetic records", shape.records, lambda: passed, records())


def _shape(seed: int | None, records: int | None) -> Shape:
    """With as many ids of A as there will be A, so that every B has a parent in the end."""
    count = DEFAULT.records if records is None else records
    a_ids = min(MAX_A_IDS, -(-count // (B_PER_A + 1)))
    return Shape(seed=DEFAULT.seed if seed is None else seed, records=count, a_ids=a_ids)


def _stream(target: Target, source: Source, per_second: float | None, truths: TruthFile | None) -> None:
    def done(wave: Wave, _refused: list[Refusal]) -> None:
        if truths is not None:
            truths.acknowledged(wave.end.line)

    witness = Witness()
    sending = Sending(
        course=Course(source.title, source.total, source.done),
        waves=waves(outgoing(witness.watch(source.records)), wave_size(per_second)),
        tally=Tally(),
        done=done,
        pace=Pace(per_second, time.monotonic),
    )
    ended = run(target, sending, RetryPolicy(patience_s=PATIENCE_S))
    show(summary_of(sending.tally, 0, ended.seconds), out())
    if ended.receipt is not None:
        until_found(target, ended.receipt)
    _tell(sending.tally, witness)
    if not ended.finished:
        raise typer.Exit(INTERRUPTED)


def _tell(tally: Tally, witness: Witness) -> None:
    console = out()
    if tally.accepted and witness.shown is not None:
        console.print("\nTry what was sent:\n")
        for command in commands(*witness.shown):
            console.print(Text(f"  {command}", style="bold"), soft_wrap=True)


def commands(b_id: str, a_id: str) -> list[str]:
    """Commands that show a B, its parent, its siblings, and how many there are."""
    a, b = shlex.quote(a_id), shlex.quote(b_id)
    return [
        f"./twinstream get a {a}",
        f"./twinstream get b {b}",
        f"./twinstream children {a} --limit 5",
        "./twinstream count b --hours 24",
        "./twinstream count b --hours 168 --series",
    ]
