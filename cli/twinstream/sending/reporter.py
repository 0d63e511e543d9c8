"""The progress of a long sending: a bar on a terminal, a plain line now and then elsewhere. Both on standard error."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from twinstream.console import err, printable
from twinstream.sending.tally import Tally

_TOLD_EVERY_S: Final = 5.0
_TITLE_WIDTH: Final = 20  # leaves room for a bar in 80 columns


@dataclass(frozen=True)
class Course:
    """What is sent: its name, and how far along its source is, out of `total` (None: nobody knows)."""

    title: str
    total: int | None
    done: Callable[[], int]


class Reporter(Protocol):
    """Shows progress; both calls are cheap enough for every wave."""

    def advanced(self, tally: Tally) -> None: ...
    def waiting(self, why: str, seconds: float) -> None: ...


@contextmanager
def reporting(course: Course, already: int) -> Generator[Reporter]:
    """A reporter that suits standard error; `already` records were sent by an earlier run."""
    console = err()
    if not console.is_terminal:
        yield PlainReporter(course, already, console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console, transient=True, expand=True, refresh_per_second=5) as progress:
        yield BarReporter(course, already, progress)


class BarReporter:
    """A bar, and a line above it when a wait begins."""

    def __init__(
        self, course: Course, already: int, progress: Progress, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._course = course
        self._already = already
        self._progress = progress
        self._now_s = now_s
        self._began_s = now_s()
        self._told = Seldom(now_s)
        title = _fitting(printable(course.title))
        self._task = progress.add_task(title, total=course.total, counts="")

    def advanced(self, tally: Tally) -> None:
        counts = _counts(tally, self._already, self._now_s() - self._began_s)
        self._progress.update(self._task, completed=self._course.done(), counts=counts)

    def waiting(self, why: str, seconds: float) -> None:
        self._progress.update(self._task, counts="waiting")
        if self._told.again():
            self._progress.console.print(_waiting(why, seconds))


class PlainReporter:
    """A line every few seconds."""

    def __init__(
        self, course: Course, already: int, console: Console, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._course = course
        self._already = already
        self._console = console
        self._now_s = now_s
        self._began_s = now_s()
        self._told = Seldom(now_s)
        self._told.again()
        self._warned = Seldom(now_s)

    def advanced(self, tally: Tally) -> None:
        if not self._told.again():
            return
        share = f"{self._course.done() / self._course.total:.0%}, " if self._course.total else ""
        counts = _counts(tally, self._already, self._now_s() - self._began_s)
        self._console.print(Text(f"{printable(self._course.title)}: {share}{counts}"))

    def waiting(self, why: str, seconds: float) -> None:
        if self._warned.again():
            self._console.print(_waiting(why, seconds))


class Seldom:
    """Lets one through every few seconds: every request in flight tells of the same outage."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._last_s: float | None = None

    def again(self) -> bool:
        """Whether it is time again."""
        now_s = self._now_s()
        if self._last_s is not None and now_s - self._last_s < _TOLD_EVERY_S:
            return False
        self._last_s = now_s
        return True


def _counts(tally: Tally, already: int, seconds: float) -> str:
    refused = f", {tally.refused_total:,} refused" if tally.refused_total else ""
    return f"{tally.sent:,} records, {tally.rate(already, seconds):,.0f}/s{refused}"


def _fitting(title: str) -> str:
    return title if len(title) <= _TITLE_WIDTH else f"…{title[1 - _TITLE_WIDTH :]}"


def _waiting(why: str, seconds: float) -> Text:
    return Text(f"{printable(why)}: trying again in {seconds:.1f} s", style="yellow")
