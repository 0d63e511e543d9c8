"""Chance that is computed."""

import math
from collections import Counter

import pytest

from twinstream.demo.chance import Shuffle, Zipf, mix, unit

# https://prng.di.unimi.it/splitmix64.c with the state 0 gives these first
SPLITMIX64 = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_mix_is_splitmix64() -> None:
    """So what is known of its quality holds."""
    assert [mix(step * 0x9E3779B97F4A7C15) for step in range(3)] == SPLITMIX64


def test_units_are_spread_evenly() -> None:
    """No tenth has noticeably more than its share."""
    counts = Counter(int(unit(mix(n)) * 10) for n in range(100_000))
    assert set(counts) == set(range(10))
    assert all(9_500 < count < 10_500 for count in counts.values())


@pytest.mark.parametrize(("n", "seed"), [(1, 0), (2, 1), (10, 2), (97, 3), (1024, 4), (3_000, 5)])
def test_a_shuffle_gives_every_number_once(n: int, seed: int) -> None:
    """It is a permutation, whatever the seed."""
    shuffle = Shuffle(n, seed)
    assert sorted(shuffle.at(place) for place in range(n)) == list(range(n))


@pytest.mark.parametrize("exponent", [0.8, 1.0, 1.1, 1.5])
def test_ranks_follow_zipfs_law(exponent: float) -> None:
    """The frequencies of ranks lie on a line of that slope where both axes are logarithmic."""
    zipf = Zipf(100_000, exponent)
    counts = Counter(zipf.rank(unit(mix(n))) for n in range(300_000))
    points = [(math.log(rank + 1.5), math.log(counts[rank])) for rank in range(2, 60)]
    assert -_slope(points) == pytest.approx(exponent, abs=0.08)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("n", [1, 2, 3_000_000])
def test_ranks_stay_within_their_bounds(n: int, exponent: float) -> None:
    """At both ends."""
    zipf = Zipf(n, exponent)
    assert zipf.rank(0.0) == 0
    assert 0 <= zipf.rank(1.0) <= n - 1
    assert zipf.rank(1.0) >= (n - 1) * 0.999 - 1


def _slope(points: list[tuple[float, float]]) -> float:
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
