"""How a destination does: whether it is left alone for a while, and when it is given up."""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from common.clock import Clock
from common.deliveries import DestinationHealth
from signals.notifier.breaker import Breaker
from signals.notifier.outcomes import Outcome, Verdict
from signals.notifier.settings import NotifierSettings

_HOUR_MS: Final = 60 * 60 * 1000

Put = Callable[[DestinationHealth], Awaitable[None]]


class Vitals:
    """Of one version of one destination."""

    def __init__(self, health: DestinationHealth, put: Put, clock: Clock, settings: NotifierSettings) -> None:
        self.health = health
        self.breaker = Breaker(settings.wait_factor)
        self._put = put
        self._clock = clock
        self._give_up_ms = settings.give_up_hours * _HOUR_MS

    async def note(self, outcome: Outcome) -> str | None:
        """Count `outcome`; why the destination must be given up because of it, or None."""
        match outcome.verdict:
            case Verdict.ARRIVED:
                await self._succeeded()
            case Verdict.FAILED | Verdict.GONE:
                return await self._failed(outcome)
            case _:
                pass
        return None

    async def disable(self, why: str) -> None:
        """Write down that the destination is given up."""
        now_ms = self._clock.now_ms()
        self.health = msgspec.structs.replace(self.health, disabled_at=now_ms, last_error=why, changed_at=now_ms)
        await self._put(self.health)

    async def pause(self, until_ms: int) -> None:
        """Write down that the receiver asked for a pause: whoever has the destination next keeps it."""
        self.health = msgspec.structs.replace(self.health, paused_until=until_ms, changed_at=self._clock.now_ms())
        await self._put(self.health)

    async def _succeeded(self) -> None:
        self.breaker.succeeded()
        if self.health.failures:
            now_ms = self._clock.now_ms()
            self.health = msgspec.structs.replace(self.health, failing_since=None, failures=0, changed_at=now_ms)
            await self._put(self.health)

    async def _failed(self, outcome: Outcome) -> str | None:
        now_ms = self._clock.now_ms()
        self.breaker.failed(now_ms)
        error = outcome.attempt.error if outcome.attempt is not None else None
        since = self.health.failing_since or now_ms
        self.health = msgspec.structs.replace(
            self.health, failing_since=since, failures=self.health.failures + 1, last_error=error, changed_at=now_ms
        )
        await self._put(self.health)
        if outcome.verdict is Verdict.GONE:
            return "the receiver answered 410: it wants nothing more"
        if now_ms - since >= self._give_up_ms:
            return f"nothing has arrived for {(now_ms - since) / _HOUR_MS:.0f} hours; last: {error}"
        return None
