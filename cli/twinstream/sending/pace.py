"""How fast records leave."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final, Self

import typer

from twinstream.sending.waves import WaveSize

UNLIMITED: Final = "unlimited"
_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)(?:/s)?")
_WAVES_PER_SECOND: Final = 4
_MOST_BEHIND_S: Final = 1.0


def parse_rate(text: str) -> float | None:
    """Records per second out of `12.7/s`, `1000` or `unlimited` (None)."""
    if text.strip().lower() == UNLIMITED:
        return None
    match = _RATE.fullmatch(text.strip().lower())
    if match is None or float(match.group(1)) == 0:
        raise typer.BadParameter(f"{text!r} is no rate like 12.7/s, 1000/s or {UNLIMITED}")
    return float(match.group(1))


def wave_size(rate: float | None) -> WaveSize:
    """Waves small enough that a slow stream flows rather than comes in gusts."""
    if rate is None:
        return WaveSize()
    return WaveSize(lanes=1, records=max(1, min(WaveSize.records, int(rate / _WAVES_PER_SECOND))))


class Pace:
    """Lets records through at `rate` per second, or at once when it is None."""

    def __init__(
        self,
        rate: float | None,
        now_s: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rate = rate
        self._now_s = now_s
        self._sleep = sleep
        self._due_s: float | None = None

    @classmethod
    def unlimited(cls) -> Self:
        return cls(None, lambda: 0.0)

    async def before(self, records: int) -> None:
        """Wait until `records` more may leave. What a standstill cost beyond a second is not caught up in a rush."""
        if self._rate is None:
            return
        now_s = self._now_s()
        due_s = max(now_s - _MOST_BEHIND_S, now_s if self._due_s is None else self._due_s)
        if due_s > now_s:
            await self._sleep(due_s - now_s)
        self._due_s = due_s + records / self._rate
