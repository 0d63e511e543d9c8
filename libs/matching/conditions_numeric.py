"""Conditions that only compare `number` with constants, answered all at once by one look into an index.

Such an expression, a conjunction like `number > 1.5 && number <= 10`, is an interval. The ends of all intervals cut the
line into pieces; within a piece every condition is constant, so a bisection finds the piece and the piece knows them.
"""

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from common.contracts import MAX_INTEGER
from matching.conditions_source import Token, parts, tokens_of, unwrapped

K = TypeVar("K", bound=Hashable)

_INF: Final = float("inf")
_FLIPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "=="}
_CONSTANT: Final = re.compile(r"\d+(\.\d+)?([eE][+-]?\d+)?")  # what certainly means the same to CEL and to Python


class Interval(NamedTuple):
    """The numbers from `low` to `high`; an end that is open does not belong to it. Empty when nothing lies within."""

    low: float = -_INF
    low_open: bool = True
    high: float = _INF
    high_open: bool = True

    def meet(self, other: "Interval") -> "Interval":
        """What lies in both."""
        low, low_open = max((self.low, self.low_open), (other.low, other.low_open))
        high, high_closed = min((self.high, not self.high_open), (other.high, not other.high_open))
        return Interval(low, low_open, high, not high_closed)


def interval_of(expression: str) -> Interval | None:
    """The interval that `expression` is, or None when it is anything else (which CEL then evaluates)."""
    whole = Interval()
    for part in parts(unwrapped(tokens_of(expression)), "&&"):
        interval = _comparison(unwrapped(part))
        if interval is None:
            return None
        whole = whole.meet(interval)
    return whole


def _comparison(tokens: Sequence[Token]) -> Interval | None:
    left, operator, right = _sides(tokens)
    if right == "number":
        left, operator, right = right, _FLIPPED.get(operator, ""), left
    constant = _constant(right)
    if left != "number" or operator not in _FLIPPED or constant is None:
        return None
    if operator == "==":
        return Interval(constant, False, constant, False)
    is_open = len(operator) == 1
    return (
        Interval(low=constant, low_open=is_open) if operator[0] == ">" else Interval(high=constant, high_open=is_open)
    )


def _sides(tokens: Sequence[Token]) -> tuple[str, str, str]:
    """Left side, operator and right side as text; a minus sign belongs to the constant behind it."""
    texts = [token.text for token in tokens]
    for n, text in enumerate(texts):
        if text in _FLIPPED:
            return "".join(texts[:n]), text, "".join(texts[n + 1 :])
    return "", "", ""


def _constant(text: str) -> float | None:
    if not _CONSTANT.fullmatch(text.removeprefix("-")):
        return None
    value = float(text)
    return value if abs(value) < MAX_INTEGER or "." in text else None  # a larger integer is not exact as a double


class IntervalIndex(Generic[K]):
    """Which of many intervals a number lies in, in the time of one bisection.

    With n ends there are 2n + 1 pieces: before the first end, on it, between it and the second, and so on.
    """

    def __init__(self, intervals: Iterable[tuple[K, Interval]]) -> None:
        named = list(intervals)
        ends = {end for _, interval in named for end in (interval.low, interval.high) if abs(end) != _INF}
        self._ends = sorted(ends)
        self._pieces = _sweep(2 * len(ends) + 1, [(key, *self._span(interval)) for key, interval in named])

    def at(self, number: float) -> tuple[K, ...]:
        """The keys of the intervals that `number` lies in."""
        return self._pieces[self._piece(number)]

    def _piece(self, number: float) -> int:
        n = bisect_left(self._ends, number)
        on_an_end = n < len(self._ends) and self._ends[n] == number
        return 2 * n + on_an_end

    def _span(self, interval: Interval) -> tuple[int, int]:
        """The first piece of `interval` and the first one behind it; what is empty ends before it begins."""
        first = 0 if interval.low == -_INF else self._piece(interval.low) + interval.low_open
        if interval.high == _INF:
            return first, 2 * len(self._ends) + 1
        return first, self._piece(interval.high) + (not interval.high_open)


def _sweep(count: int, spans: Iterable[tuple[K, int, int]]) -> list[tuple[K, ...]]:
    """The keys whose span covers each of `count` pieces."""
    begin: dict[int, list[K]] = defaultdict(list)
    end: dict[int, list[K]] = defaultdict(list)
    for key, first, behind in spans:
        if first < behind:
            begin[first].append(key)
            end[behind].append(key)
    pieces: list[tuple[K, ...]] = []
    active: dict[K, None] = {}
    for n in range(count):
        changed = n in begin or n in end
        for key in end.get(n, ()):
            del active[key]
        active.update(dict.fromkeys(begin.get(n, ())))
        pieces.append(tuple(active) if changed or not pieces else pieces[-1])
    return pieces
