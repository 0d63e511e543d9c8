"""A sending from its first wave to its last, or to Ctrl-C, with its progress shown."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from twinstream.client import Client
from twinstream.retries import RetryPolicy
from twinstream.sending.delivery import deliver_all
from twinstream.sending.pace import Pace
from twinstream.sending.reporter import Course, Reporter, reporting
from twinstream.sending.tally import Refusal, Tally
from twinstream.sending.waves import Wave
from twinstream.target import Target

PATIENCE_S: Final = 600.0
INTERRUPTED: Final = 130  # exit status after Ctrl-C, as shells count it


class Ended(NamedTuple):
    """How a sending ended; `finished` is False, and there is no receipt, after Ctrl-C."""

    finished: bool
    seconds: float
    receipt: str | None = None
    """Stands for all that was sent."""


class Sending(NamedTuple):
    """What is to be sent, and where its outcome goes.

    `done` hears of every wave that is wholly acknowledged, with what was refused of it; `tally` grows with each.
    """

    course: Course
    waves: Iterator[Wave]
    tally: Tally
    done: Callable[[Wave, list[Refusal]], None]
    pace: Pace


def run(target: Target, sending: Sending, retries: RetryPolicy) -> Ended:
    """Send until the source ends.

    Raises:
        CliError: the source broke off, or ingest cannot be spoken to.
    """
    began_s = time.monotonic()
    try:
        with reporting(sending.course, sending.tally.sent) as reporter:
            receipt = asyncio.run(_run(target, sending, retries, reporter))
    except KeyboardInterrupt:
        return Ended(finished=False, seconds=time.monotonic() - began_s)
    return Ended(finished=True, seconds=time.monotonic() - began_s, receipt=receipt)


async def _run(target: Target, sending: Sending, retries: RetryPolicy, reporter: Reporter) -> str | None:
    def done(wave: Wave, refused: list[Refusal]) -> None:
        sending.done(wave, refused)
        reporter.advanced(sending.tally)

    async with Client(target, retries=retries, waiting=reporter.waiting) as client:
        await deliver_all(client, sending.waves, sending.tally, done, sending.pace)
        return client.receipt
