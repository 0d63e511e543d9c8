"""Time as a part that is passed in, so that tests move it instead of waiting for it."""

import time
from typing import Protocol


class Clock(Protocol):
    """Wall-clock time since the Unix epoch, UTC."""

    def now_us(self) -> int:
        """Microseconds since the epoch."""

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""


class SystemClock:
    """The operating system's clock."""

    def now_us(self) -> int:
        return time.time_ns() // 1_000

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now_ms: int) -> None:
        self._now_us = now_ms * 1_000

    def now_us(self) -> int:
        return self._now_us

    def now_ms(self) -> int:
        return self._now_us // 1_000

    def advance(self, *, ms: int) -> None:
        """Move forward by `ms` milliseconds (backward when negative, as a clock that is set right does)."""
        self._now_us += ms * 1_000


class IncreasingClock:
    """Microseconds that never repeat within a process, so that one sender's records keep their order."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_us = 0

    def next_us(self, count: int = 1) -> int:
        """The first of `count` consecutive microseconds, none of which is given to anyone else."""
        first = max(self._clock.now_us(), self._last_us + 1)
        self._last_us = first + count - 1
        return first
