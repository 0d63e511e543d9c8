"""A destination that keeps failing is left alone for a while, then tried with one message. Pure."""

from typing import Final

THRESHOLD: Final = 5  # failures in a row
FIRST_REST_MS: Final = 30_000
LONGEST_REST_MS: Final = 15 * 60_000


class Breaker:
    """Counts failures in a row; each rest is twice as long as the one before."""

    def __init__(self, factor: float = 1.0) -> None:
        """`factor`: what each rest is multiplied by."""
        self.failures = 0
        self.rests_until = 0  # ms since the epoch
        self._factor = factor
        self._rest_ms = FIRST_REST_MS

    @property
    def is_open(self) -> bool:
        """Whether the last that is known of the destination is that it fails."""
        return self.failures >= THRESHOLD

    def allows(self, now_ms: int, on_their_way: int) -> bool:
        """Whether one more message may be sent; after a rest, one by itself."""
        return not self.is_open or (now_ms >= self.rests_until and on_their_way == 0)

    def succeeded(self) -> None:
        self.failures, self.rests_until, self._rest_ms = 0, 0, FIRST_REST_MS

    def failed(self, now_ms: int) -> None:
        self.failures += 1
        if self.is_open and now_ms >= self.rests_until:
            self.rests_until = now_ms + round(self._rest_ms * self._factor)
            self._rest_ms = min(LONGEST_REST_MS, self._rest_ms * 2)
