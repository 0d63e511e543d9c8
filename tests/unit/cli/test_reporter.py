"""What is seen of a sending while it lasts."""

import io

import pytest
from rich.console import Console
from rich.progress import Progress

from twinstream.sending.reporter import BarReporter, Course, PlainReporter
from twinstream.sending.tally import Tally

COURSE = Course("records\x1b.ndjson", 200, lambda: 50)


class Time:
    def __init__(self) -> None:
        self.now_s = 100.0

    def now(self) -> float:
        return self.now_s


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


def test_without_a_terminal_a_line_comes_every_five_seconds(screen: io.StringIO) -> None:
    """With share, counts and rate; what an earlier run sent does not count for the rate."""
    time = Time()
    reporter = PlainReporter(COURSE, 1_000, Console(file=screen), time.now)
    tally = Tally()
    for second in range(1, 12):
        time.now_s = 100.0 + second
        tally.accepted = 1_000 + 100 * second
        reporter.advanced(tally)
    assert screen.getvalue().splitlines() == [
        "records\\x1b.ndjson: 25%, 1,500 records, 100/s",
        "records\\x1b.ndjson: 25%, 2,000 records, 100/s",
    ]


def test_refusals_are_seen_at_once(screen: io.StringIO) -> None:
    """Not only in the summary."""
    time = Time()
    reporter = PlainReporter(Course("x", None, lambda: 0), 0, Console(file=screen), time.now)
    time.now_s += 10
    reporter.advanced(Tally(accepted=90, refused={"invalid_id": 7, "wrong_type": 3}))
    assert screen.getvalue() == "x: 100 records, 10/s, 10 refused\n"


@pytest.mark.parametrize("bar", [True, False])
def test_an_outage_is_told_once_in_a_while(screen: io.StringIO, *, bar: bool) -> None:
    """Though every request in flight meets it."""
    time = Time()
    console = Console(file=screen, width=200)
    plain = PlainReporter(COURSE, 0, console, time.now)
    reporter = BarReporter(COURSE, 0, Progress(console=console), time.now) if bar else plain
    for tenth in range(61):
        time.now_s = 100 + tenth / 10
        reporter.waiting("ingest is away", 0.25)
    assert screen.getvalue().count("ingest is away: trying again in 0.2 s") == 2
