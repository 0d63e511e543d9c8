"""Which revisions of which conditions are evaluated: the newest of each, and the former until the newest is whole."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby

import structlog

from common.contracts import Condition, Stream
from matching.conditions import parse
from matching.conditions_set import ConditionSet
from matching.conditions_source import ExpressionError

log = structlog.get_logger()


@dataclass(frozen=True)
class Revisions:
    """The revisions that records of a stream are evaluated against, as of some offset of control."""

    stream: Stream
    control: int
    """How far control was read when they were chosen: who knows less must not overrule it."""
    conditions: Mapping[int, Condition]
    compiled: ConditionSet[int] = field(compare=False)

    @cached_property
    def token(self) -> str:
        """Names exactly these: a batch that was evaluated against others is refused by its shard."""
        return ",".join(map(str, sorted(self.conditions)))

    @cached_property
    def per_a(self) -> list[int]:
        """Those that are counted for each A too."""
        return sorted(n for n, condition in self.conditions.items() if condition.per_a)

    def only(self, wanted: Collection[int]) -> "Revisions":
        """These without any that is not `wanted`."""
        return _compiled(self.stream, self.control, {n: c for n, c in self.conditions.items() if n in wanted})


def none_yet(stream: Stream) -> Revisions:
    """Before control was read."""
    return _compiled(stream, 0, {})


def choose(
    present: Revisions,
    *,
    control: int,
    newest: Mapping[int, Condition],
    stored: Mapping[int, Condition],
    whole: Collection[int],
) -> Revisions:
    """What to evaluate from now on.

    Args:
        present: what was evaluated so far; kept compiled where nothing changed.
        control: how far control was read.
        newest: the conditions on the stream in control, by revision.
        stored: those that the store holds, by revision; control keeps no former ones.
        whole: the revisions of `stored` that answer for every record.
    """
    named = {condition.name: n for n, condition in newest.items()}
    former = {
        n: condition
        for n, condition in _latest_whole(stored, whole).items()
        if condition.name in named and _precedes(n, condition, named[condition.name], newest, whole)
    }
    conditions = dict(sorted({**former, **newest}.items()))
    if conditions == present.conditions:
        return Revisions(present.stream, control, conditions, present.compiled)
    return _compiled(present.stream, control, conditions)


def _compiled(stream: Stream, control: int, conditions: Mapping[int, Condition]) -> Revisions:
    expressions = {}
    for n, condition in conditions.items():
        try:
            expressions[n] = parse(condition.expression, stream)
        except ExpressionError as error:  # it was compiled before it was written: by another version of this
            log.error("condition_unreadable", stream=stream, name=condition.name, revision=n, detail=str(error))
    readable = {n: condition for n, condition in conditions.items() if n in expressions}
    return Revisions(stream, control, readable, ConditionSet(stream, expressions))


def _precedes(
    former: int, condition: Condition, latest: int, newest: Mapping[int, Condition], whole: Collection[int]
) -> bool:
    """Whether `former` still answers for `latest`: the same condition, not another that took over its name."""
    return former < latest and latest not in whole and condition.created_at == newest[latest].created_at


def superseded(revisions: Revisions, stored: Iterable[int]) -> list[int]:
    """Those of `stored` that are of no more use. One that control may not have told of yet is none of them."""
    return sorted(n for n in stored if n not in revisions.conditions and n < revisions.control)


def _latest_whole(stored: Mapping[int, Condition], whole: Collection[int]) -> dict[int, Condition]:
    complete = sorted(stored.keys() & set(whole), key=lambda n: (stored[n].name, n))
    by_name = groupby(complete, key=lambda n: stored[n].name)
    return {latest: stored[latest] for _, group in by_name for latest in list(group)[-1:]}
