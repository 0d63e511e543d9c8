"""The conditions: made, changed and deleted, in control."""

import asyncio
from typing import Final

import msgspec

from common.clock import Clock
from common.contracts import Condition, ControlKind
from common.errors import Refused
from common.kafka.control import ControlTable, Versioned
from matching.conditions_source import ExpressionError
from matching.conditions_trial import admit
from query_api.condition_views import ConditionChange, ConditionRequest

MAX_CONDITIONS: Final = 1_000


class ConditionBook:
    """All conditions that control knows."""

    def __init__(self, control: ControlTable, clock: Clock) -> None:
        self._control = control
        self._clock = clock
        self._writing = asyncio.Lock()  # two requests must not both find a name free

    def all(self) -> list[Versioned[Condition]]:
        """Every condition, by name."""
        return sorted(self._control.of(Condition), key=lambda entry: entry.value.name)

    def find(self, name: str) -> Versioned[Condition] | None:
        """The condition `name` and its revision, or None."""
        return self._control.get(ControlKind.CONDITION, name, Condition)

    def get(self, name: str) -> Versioned[Condition]:
        """The condition `name` and its revision.

        Raises:
            Refused: unknown_condition.
        """
        entry = self.find(name)
        if entry is None:
            raise Refused("unknown_condition", f"There is no condition {name[:64]!r}; GET /v1/conditions lists them.")
        return entry

    async def make(self, wanted: ConditionRequest) -> Versioned[Condition]:
        """A new condition.

        Raises:
            Refused: condition_exists, too_many_conditions, or invalid_expression.
            TryLater: Kafka is away.
        """
        async with self._writing:
            if self.find(wanted.name) is not None:
                raise Refused("condition_exists", f"There is a condition {wanted.name!r} already.")
            if len(self.all()) >= MAX_CONDITIONS:
                raise Refused("too_many_conditions", f"There are {MAX_CONDITIONS:,} conditions, and no more can be.")
            now_ms = self._clock.now_ms()
            condition = Condition(
                name=wanted.name,
                stream=wanted.stream,
                expression=wanted.expression,
                per_a=wanted.per_a,
                created_at=now_ms,
                changed_at=now_ms,
            )
            return await self._write(condition)

    async def change(self, name: str, wanted: ConditionChange) -> Versioned[Condition]:
        """The condition as it is from now on; one that changes nothing makes no new revision.

        Raises:
            Refused: unknown_condition or invalid_expression.
            TryLater: Kafka is away.
        """
        async with self._writing:
            entry = self.get(name)
            changed = msgspec.structs.replace(entry.value, expression=wanted.expression, per_a=wanted.per_a)
            if changed == entry.value:
                return entry
            return await self._write(msgspec.structs.replace(changed, changed_at=self._clock.now_ms()))

    async def delete(self, name: str) -> Versioned[Condition]:
        """Delete the condition; returns what it was.

        Raises:
            Refused: unknown_condition.
            TryLater: Kafka is away.
        """
        async with self._writing:
            entry = self.get(name)
            await self._control.put(ControlKind.CONDITION, name, None)
            return entry

    async def _write(self, condition: Condition) -> Versioned[Condition]:
        try:
            admit(condition.expression, condition.stream)
        except ExpressionError as error:
            where = {"at": "body.expression", "line": error.line, "column": error.column, "detail": error.detail}
            raise Refused("invalid_expression", f"expression, {error}.", errors=[where]) from None
        return Versioned(condition, await self._control.put(ControlKind.CONDITION, condition.name, condition))
