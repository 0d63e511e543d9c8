"""Chance that can be computed anywhere in a sequence: nothing is stored, and the same seed gives the same."""

import math
from typing import Final

_64_BITS: Final = (1 << 64) - 1
_UNIT: Final = 2.0**-64


def mix(number: int) -> int:
    """64 bits that look random: splitmix64's step (https://prng.di.unimi.it/splitmix64.c)."""
    number = (number + 0x9E3779B97F4A7C15) & _64_BITS
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _64_BITS
    return number ^ (number >> 31)


def unit(bits: int) -> float:
    """64 bits as a number in [0, 1]."""
    return bits * _UNIT


class Zipf:
    """Ranks from 0 to `n` - 1, the one of rank r as often as (r + 1) ** -`exponent`, by the inverse of its CDF.

    The sum is taken for an integral, which tells the first few ranks a little apart from the law.
    """

    def __init__(self, n: int, exponent: float) -> None:
        self._last = n - 1
        self._power = 1.0 - exponent
        self._log = math.log(n + 1.0)
        self._span = (n + 1.0) ** self._power - 1.0

    def rank(self, share: float) -> int:
        """The rank at `share` in [0, 1] of the distribution."""
        if abs(self._power) < 1e-9:  # the exponent is 1, where the integral is a logarithm
            place = math.exp(share * self._log)
        else:
            place = (1.0 + share * self._span) ** (1.0 / self._power)
        return min(self._last, int(place) - 1)


class Shuffle:
    """The numbers below `n`, each once, in another order: an affine permutation."""

    def __init__(self, n: int, seed: int) -> None:
        self._n = n
        self._factor = next(f for f in range(mix(seed) % n + 1, 2 * n + 2) if math.gcd(f, n) == 1)
        self._shift = mix(seed + 1) % n

    def at(self, place: int) -> int:
        return (place * self._factor + self._shift) % self._n
