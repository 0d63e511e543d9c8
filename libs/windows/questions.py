"""What can be asked of the windows, and which commands answer it. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

from common.contracts import Stream
from windows.connection import Command
from windows.layout import ALL, EVENTS, HELD, HOUR_MS, MINUTE_MS, OF, OF_HELD, Layout, Pane

_MINUTES_PER_HOUR = HOUR_MS // MINUTE_MS


class Unit(StrEnum):
    """What is counted: ids, by the event time of their newest version, or records in the log."""

    ITEMS = "items"
    EVENTS = "events"


class Window(NamedTuple):
    """Event times from `start_ms` on and before `end_ms`; without an end it is open towards the future."""

    start_ms: int
    end_ms: int | None = None

    def aligned(self) -> "Window":
        """The same window widened to whole minutes."""
        end_ms = None if self.end_ms is None else -(-self.end_ms // MINUTE_MS) * MINUTE_MS
        return Window(self.start_ms // MINUTE_MS * MINUTE_MS, end_ms)

    def steps(self, step_ms: int, now_ms: int) -> Iterator["Window"]:
        """The window in steps, the last one cut off at its end; open, as the window is, when that is the future."""
        end_ms = max(now_ms, self.start_ms) + 1 if self.end_ms is None else self.end_ms
        for start_ms in range(self.start_ms, end_ms, step_ms):
            behind_ms = start_ms + step_ms
            yield Window(start_ms, self.end_ms if behind_ms >= end_ms else behind_ms)


@dataclass(frozen=True)
class Question:
    """How many of a stream lie in a window: all of them, those of one A, those that hold a condition, or both."""

    stream: Stream
    window: Window
    unit: Unit = Unit.ITEMS
    a_id: str | None = None
    held: str | None = None
    """The condition and its revision, as `layout.held_name` says."""

    def during(self, window: Window) -> "Question":
        """The same of another window."""
        return replace(self, window=window)


def commands(layout: Layout, question: Question, now_ms: int) -> list[Command]:
    """One command per shard; the answer is the `total` of their replies."""
    if question.unit is Unit.EVENTS:
        fields = list(panes(question.window.aligned(), now_ms))
        return [("HMGET", base + EVENTS, *fields) for base in layout.bases()] if fields else []
    suffix, (start_ms, end_ms) = _set_of(question), question.window
    end = "+inf" if end_ms is None else f"({end_ms}"
    return [("ZCOUNT", base + suffix, start_ms, end) for base in layout.bases()]


def total(question: Question, replies: Iterable[Any]) -> int:
    """What the replies to `commands` add up to."""
    if question.unit is Unit.EVENTS:
        return sum(int(count) for counts in replies for count in counts if count)
    return sum(replies)


def panes(window: Window, now_ms: int) -> Iterator[str]:
    """The fewest panes that cover an aligned `window`: whole hours, and minutes at its edges."""
    start = window.start_ms // MINUTE_MS
    # Nothing that ingest lets in lies further ahead than a few minutes; the hour after this one leaves room for clocks.
    end = (now_ms // HOUR_MS + 2) * _MINUTES_PER_HOUR if window.end_ms is None else window.end_ms // MINUTE_MS
    first_hour, last_hour = -(-start // _MINUTES_PER_HOUR), end // _MINUTES_PER_HOUR
    if first_hour >= last_hour:
        yield from map(Pane.minute, range(start, end))
        return
    yield from map(Pane.minute, range(start, first_hour * _MINUTES_PER_HOUR))
    yield from map(Pane.hour, range(first_hour, last_hour))
    yield from map(Pane.minute, range(last_hour * _MINUTES_PER_HOUR, end))


def _set_of(question: Question) -> str:
    if question.a_id is None:
        return ALL if question.held is None else HELD + question.held
    return OF + question.a_id if question.held is None else f"{OF_HELD}{question.held}:{question.a_id}"


def spread(sizes: Sequence[int], replies: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """`replies` cut into runs of `sizes`."""
    at = 0
    for size in sizes:
        yield replies[at : at + size]
        at += size
