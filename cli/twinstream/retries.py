"""When a call that failed is made again: pure, the clock and the dice are passed in."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

# Overloaded, a fault that may pass, or a proxy in front whose service is away.
TRANSIENT: Final = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True)
class RetryPolicy:
    """Waits double from `first_wait_s` to `longest_wait_s`; after `patience_s` without success it gives up."""

    patience_s: float
    first_wait_s: float = 0.25
    longest_wait_s: float = 15.0

    def wait_s(self, failures: int, asked_s: float | None, dice: float) -> float:
        """Seconds until the next attempt after `failures` ones, never less than the server asked for.

        `dice` in [0, 1) spreads clients that failed at the same moment.
        """
        backoff_s = min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(failures - 1, 30))
        return max(asked_s or 0.0, backoff_s * (0.5 + dice / 2))

    def allows(self, elapsed_s: float, wait_s: float) -> bool:
        """Whether waiting on is within patience, `elapsed_s` after the first attempt."""
        return elapsed_s + wait_s <= self.patience_s


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """The seconds that a Retry-After header asks for, as a number or a date (RFC 9110, 10.2.3); None without one."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds())
