"""How fast messages may leave for one place. Pure."""


class Pace:
    """One for each Slack channel, shared by all destinations that name it; without an interval it never waits."""

    def __init__(self, interval_ms: int = 0) -> None:
        self._interval_ms = interval_ms
        self.free_at = 0  # ms since the epoch

    def allows(self, now_ms: int) -> bool:
        return now_ms >= self.free_at

    def started(self, now_ms: int) -> None:
        """A message leaves."""
        if self._interval_ms:
            self.free_at = max(self.free_at, now_ms + self._interval_ms)

    def pause(self, now_ms: int, for_ms: int) -> None:
        """The receiver asked for a pause."""
        self.pause_until(now_ms + for_ms)

    def pause_until(self, ms: int) -> None:
        """The same, by the clock."""
        self.free_at = max(self.free_at, ms)
