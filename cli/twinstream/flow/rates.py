"""From readings to what a person wants to know: how many a second, how far behind, how old."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Final

from twinstream.flow.sample import Sample

_RATES_OVER_S: Final = 3.0
_AGES_OVER_S: Final = 10.0


@dataclass(frozen=True)
class Flow:
    """Records per second, records behind, and ages in seconds; an age is None while nothing is stored."""

    accepted_per_s: float
    stored_per_s: float
    lag: int
    p50_s: float | None
    p99_s: float | None


class Window:
    """The readings of the last seconds."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()

    def add(self, sample: Sample) -> Flow | None:
        """Take in the newest reading; None until there is something to compare it with."""
        self._samples.append(sample)
        while len(self._samples) > 2 and self._samples[1].at_s <= sample.at_s - _AGES_OVER_S:
            self._samples.popleft()
        if len(self._samples) == 1:
            return None
        oldest, recent = self._samples[0], self._since(sample.at_s - _RATES_OVER_S)
        ages = {bound: max(0.0, count - oldest.ages.get(bound, 0.0)) for bound, count in sample.ages.items()}
        return Flow(
            accepted_per_s=_per_s(recent.accepted, sample.accepted, sample.at_s - recent.at_s),
            stored_per_s=_per_s(recent.stored, sample.stored, sample.at_s - recent.at_s),
            lag=round(sample.lag),
            p50_s=quantile(ages, 0.5),
            p99_s=quantile(ages, 0.99),
        )

    def _since(self, at_s: float) -> Sample:
        """The newest reading that is at least so old, else the oldest."""
        older = [sample for sample in self._samples if sample.at_s <= at_s]
        return older[-1] if older else self._samples[0]


def _per_s(before: float, now: float, seconds: float) -> float:
    """The rate of a counter; one that fell began anew at zero."""
    return (now - before if now >= before else now) / seconds if seconds > 0 else 0.0


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """The value below which `share` of the observations lie, from cumulative counts by upper bound.

    Between two bounds it is interpolated, as Prometheus' histogram_quantile does; past the last finite bound, that
    bound is all that is known. None when there is no observation.
    """
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0
    if total <= 0:
        return None
    below, lower = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= share * total:
            if bound == inf:
                return lower
            inside = buckets[bound] - below
            return lower + (bound - lower) * (share * total - below) / inside if inside else bound
        below, lower = buckets[bound], bound
    return lower
