"""The totals of whole hours: what the windows count must be what the lake has, item by item and event by event.

Between the lake's state and the moment of counting, ids moved on; so an hour's count may lie anywhere from what
cannot have left it to what may have come into it besides.
"""

import asyncio
from collections.abc import Mapping

from auditing.report import Compared
from common.clock import Clock
from common.contracts import RECORDS, position_id
from lake.audit.since import Since
from lake.audit.state import HOUR_MS, LakeState, Written
from windows.counts import Counts
from windows.questions import Question, Unit, Window


class AgainstWindows:
    """Compares one stream's hours with its windows."""

    between = "lake and windows"

    def __init__(self, state: LakeState, counts: Counts, written: Mapping[int, Written], clock: Clock) -> None:
        self._state = state
        self._counts = counts
        self._clock = clock
        # Rows that a tombstone made void are gone from the table; the events that they were stay counted.
        self._gone = sum(one.last + 1 - one.first - one.rows for one in written.values())
        self._counted: dict[Unit, dict[int, int]] = {}
        self._first = self._end = 0

    async def positions(self) -> Mapping[int, int]:
        """Where the windows stand.

        Raises:
            TryLater: Redis is away, or there are no windows yet.
        """
        names = {position_id(RECORDS[self._state.stream], number): number for number in self._state.positions}
        return {names[name]: offset for name, offset in (await self._counts.positions(names)).items()}

    async def look(self) -> None:
        """Count every whole hour within the horizon.

        Raises:
            TryLater: Redis is away, or there are no windows yet.
        """
        horizon_ms = (await self._counts.known(self._state.stream)).layout.generation.horizon_ms
        now_ms = self._clock.now_ms()
        self._first, self._end = -(-(now_ms - horizon_ms) // HOUR_MS), now_ms // HOUR_MS
        numbers = range(self._first, self._end)
        asked = [
            Question(self._state.stream, Window(number * HOUR_MS, (number + 1) * HOUR_MS), unit)
            for unit in Unit
            for number in numbers
        ]
        counts = iter((await self._counts.ask(asked)).counts)
        self._counted = {unit: {number: next(counts) for number in numbers} for unit in Unit}

    async def compare(self, since: Since) -> Compared:
        """Hold the lake against what was counted.

        Raises:
            TryLater: the lake is away.
        """
        hours = await asyncio.to_thread(self._state.hours, self._first, self._end)
        moved = await asyncio.to_thread(self._state.hours_of, sorted(since.ids))
        drift: dict[str, str] = {}
        for number in range(self._first, self._end):
            left = {id_ for id_, hour in moved.items() if hour == number}
            come = left | since.hours.get(number, set())
            stayed = hours.items.get(number, 0) - len(left)
            events = hours.events.get(number, 0)
            allowed = {
                Unit.ITEMS: (stayed, stayed + len(come)),
                Unit.EVENTS: (events, events + since.events[number] + self._gone),
            }
            for unit, (low, high) in allowed.items():
                if not low <= (counted := self._counted[unit][number]) <= high:
                    between = str(low) if low == high else f"{low} to {high}"
                    drift[f"{unit} of hour {number}"] = f"the windows count {counted}, the lake has {between}"
        looked_at = sum(map(len, self._counted.values()))
        return Compared(self._state.stream, self.between, looked_at, "hours", drift)
