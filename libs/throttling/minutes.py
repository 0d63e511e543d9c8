"""Counting what callers ask for, minute by minute; pure but for the clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from common.clock import Clock
from common.errors import Refused

MINUTE_MS: Final = 60_000


class Usage(NamedTuple):
    """Requests and bytes."""

    requests: int
    size: int

    def plus(self, other: "Usage") -> "Usage":
        return Usage(self.requests + other.requests, self.size + other.size)

    def less(self, other: "Usage") -> "Usage":
        return Usage(self.requests - other.requests, self.size - other.size)


NOTHING: Final = Usage(0, 0)


@dataclass
class _Account:
    """What all replicas were last known to have counted, and what this one has counted since."""

    agreed: Usage = field(default=NOTHING)
    untold: Usage = field(default=NOTHING)


class Minutes:
    """The accounts of all callers in the minute that runs. A limit of 0 is none."""

    def __init__(self, limits: Usage, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._minute = 0
        self._accounts: dict[str, _Account] = {}

    @property
    def minute(self) -> int:
        """Minutes since the epoch."""
        return self._minute

    def admit(self, caller_id: str, size: int) -> None:
        """Count a request of `size` bytes.

        Raises:
            Refused: rate_limited; what is refused does not count.
        """
        now_ms = self._clock.now_ms()
        self._turn(now_ms // MINUTE_MS)
        account = self._accounts.setdefault(caller_id, _Account())
        asked = Usage(1, size)
        if self._exceeds(account.agreed.plus(account.untold).plus(asked)):
            wait_s = -(-(MINUTE_MS - now_ms % MINUTE_MS) // 1000)
            raise Refused("rate_limited", self._told(), retry_after_s=wait_s)
        account.untold = account.untold.plus(asked)

    def untold(self) -> Mapping[str, Usage]:
        """What this replica has counted in this minute and not yet told the others."""
        self._turn(self._clock.now_ms() // MINUTE_MS)
        return {caller: account.untold for caller, account in self._accounts.items() if account.untold != NOTHING}

    def agree(self, minute: int, told: Mapping[str, Usage], totals: Mapping[str, Usage]) -> None:
        """Take in what all replicas have counted in `minute`, now that they know of `told`."""
        if minute != self._minute:
            return
        for caller, total in totals.items():
            account = self._accounts[caller]
            account.agreed, account.untold = total, account.untold.less(told[caller])

    def _turn(self, minute: int) -> None:
        if minute != self._minute:
            self._minute, self._accounts = minute, {}

    def _exceeds(self, usage: Usage) -> bool:
        return any(0 < limit < used for limit, used in zip(self._limits, usage, strict=True))

    def _told(self) -> str:
        parts = [f"{self._limits.requests:,} requests"] if self._limits.requests else []
        parts += [f"{self._limits.size:,} bytes"] if self._limits.size else []
        return f"A key may send {' and '.join(parts)} in a minute."
