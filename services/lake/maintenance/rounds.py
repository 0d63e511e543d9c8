"""The rounds of maintenance: each chore at its own interval, one at a time, and a line on what it did."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from common import metrics
from common.concurrency import pause
from common.errors import Reposition, TryLater

log = structlog.get_logger()

SERVICE: Final = "lake-maintenance"
_AGAIN_S: Final = 30.0


class Report(Protocol):
    """What a chore came to: a named tuple."""

    def _asdict(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Chore:
    """Something to do again and again; what it comes to is None when there was nothing to do."""

    name: str
    every_s: float
    do: Callable[[], Report | None]
    """Blocks."""


class Rounds:
    """Does each chore when its time has come; the first time at once."""

    def __init__(self, chores: Sequence[Chore]) -> None:
        self._chores = chores
        self._due_at = dict.fromkeys(range(len(chores)), 0.0)
        self._trouble: dict[str, str] = {}

    def problem(self) -> str | None:
        """Readiness: what the last attempt of a chore met, or None."""
        return next(iter(self._trouble.values()), None)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; the chore in hand then is finished first."""
        while not stop.is_set():
            for place, chore in enumerate(self._chores):
                if self._due_at[place] <= time.monotonic() and not stop.is_set():
                    done = await self._do(chore)
                    self._due_at[place] = time.monotonic() + (chore.every_s if done else min(_AGAIN_S, chore.every_s))
            await pause(stop, max(0.0, min(self._due_at.values()) - time.monotonic()))

    async def _do(self, chore: Chore) -> bool:
        started = time.perf_counter()
        try:
            report = await asyncio.to_thread(chore.do)
        except (TryLater, Reposition) as error:
            self._trouble[chore.name] = str(error)
            metrics.STORE_FAILURES.labels(SERVICE).inc()
            log.warning("chore_failed", chore=chore.name, detail=str(error))
            return False
        self._trouble.pop(chore.name, None)
        took_s = time.perf_counter() - started
        metrics.STORE_SECONDS.labels(SERVICE, chore.name.partition(" ")[0]).observe(took_s)
        if report is not None:
            log.info("chore_done", chore=chore.name, seconds=round(took_s, 3), **report._asdict())
        return True
