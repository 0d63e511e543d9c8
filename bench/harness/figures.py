"""Figures: what was measured, how often, what was hoped for."""

import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import msgspec

Better = Literal["higher", "lower"]


class Figure(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One figure of a run: its median and spread, in `unit`, and what to hold it against."""

    name: str
    unit: str
    median: float
    low: float
    high: float
    better: Better = "higher"
    aim: float | None = None
    x: float | None = None  # where along the growth it was taken, for a plot; figures of one `series` share a line
    series: str | None = None

    @property
    def missed(self) -> bool:
        """Whether there is an aim and the median does not reach it."""
        if self.aim is None:
            return False
        return self.median < self.aim if self.better == "higher" else self.median > self.aim

    def worse_than(self, former: "Figure") -> bool:
        """Whether this is worse than `former` by more than the spread of either."""
        return self.high < former.low if self.better == "higher" else self.low > former.high


def figure(  # noqa: PLR0913  # a figure is what it is; all but three have defaults
    name: str,
    unit: str,
    values: Sequence[float],
    *,
    better: Better = "higher",
    aim: float | None = None,
    x: float | None = None,
    series: str | None = None,
) -> Figure:
    """A figure out of its samples."""
    return Figure(
        name=name,
        unit=unit,
        median=statistics.median(values),
        low=min(values),
        high=max(values),
        better=better,
        aim=aim,
        x=x,
        series=series,
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest sample that `percent` of all samples do not exceed."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * percent / 100))]


async def paired(
    rounds: int, measured: Callable[[], Awaitable[float]], ceiling: Callable[[], Awaitable[float]]
) -> tuple[list[float], list[float], list[float]]:
    """Run both in turn, `rounds` times after one warm-up each; returns measured, ceiling and the ratio of each pair."""
    await ceiling()
    await measured()
    pairs = [(await measured(), await ceiling()) for _ in range(rounds)]
    return [m for m, _ in pairs], [c for _, c in pairs], [m / c for m, c in pairs]


async def rate(count: int, work: Callable[[], Awaitable[object]]) -> float:
    """Units per second of `work`, which does `count` of them."""
    started = time.perf_counter()
    await work()
    return count / (time.perf_counter() - started)
