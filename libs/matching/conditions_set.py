"""Many conditions against one record: numeric ones through an index, only the rest evaluated one by one."""

from collections.abc import Hashable, Mapping
from typing import Generic, NamedTuple, TypeVar

from common.contracts import RecordA, Stream
from matching.conditions import FAILURES, Expression, RecordContext
from matching.conditions_numeric import IntervalIndex, interval_of

K = TypeVar("K", bound=Hashable)


class Outcome(NamedTuple, Generic[K]):
    """The keys of the conditions that hold for a record, and of those that failed on it and so count as false."""

    held: tuple[K, ...]
    failed: tuple[K, ...] = ()


class ConditionSet(Generic[K]):
    """An immutable set of conditions on one stream, each under a key of the caller's."""

    def __init__(self, stream: Stream, expressions: Mapping[K, Expression]) -> None:
        intervals = {key: interval_of(expression.source) for key, expression in expressions.items()}
        self._index = IntervalIndex((key, interval) for key, interval in intervals.items() if interval is not None)
        self._others = [(key, expressions[key]) for key, interval in intervals.items() if interval is None]
        self._context = RecordContext(stream, {name for _, other in self._others for name in other.variables})

    def match(self, record: RecordA) -> Outcome[K]:
        """Which conditions hold for `record`."""
        held = self._index.at(record.number)
        return self._evaluated(record, held) if self._others else Outcome(held)

    def _evaluated(self, record: RecordA, indexed: tuple[K, ...]) -> Outcome[K]:
        context = self._context.load(record)
        held: list[K] = []
        failed: list[K] = []
        for key, expression in self._others:
            try:
                if expression.evaluate(context):
                    held.append(key)
            except FAILURES:
                failed.append(key)
        return Outcome((*indexed, *held), tuple(failed))
