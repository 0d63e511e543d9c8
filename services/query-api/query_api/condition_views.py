"""Conditions as they are written and answered. OpenAPI's schemas come from here too."""

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from common.contracts import Condition, Stream
from common.instants import rfc3339_ms
from windows.standing import Standing

_TIME: Final = {"format": "date-time"}


class State(StrEnum):
    """Whether a condition has seen every record."""

    READY = "ready"
    FILLING = "filling"
    UNKNOWN = "unknown"  # the windows cannot be asked


Name = Annotated[
    str,
    Meta(
        description="Lower-case letters, digits, - and _; begins with a letter.",
        pattern=r"^[a-z][a-z0-9_-]{0,63}$",
        examples=["big"],
    ),
]
Expression = Annotated[
    str,
    Meta(
        description="CEL (https://cel.dev) on one record: `number` (a double), `text`, `unique_identifier`, "
        "`event_time` (a timestamp) and, on stream b, `Stream_A_unique_identifier`. Up to 10,000 bytes.",
        min_length=1,
        extra_json_schema={"format": "cel"},
        examples=['number > 100.0 && text.contains("refund")'],
    ),
]
PerA = Annotated[bool, Meta(description="Whether it is counted for each A too, at some cost in memory.")]
Moment = Annotated[str, Meta(examples=["2026-11-23T08:00:00.000Z"], extra_json_schema=_TIME)]


class ConditionRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A condition to be made."""

    name: Name
    stream: Annotated[Stream, Meta(description="Whose records it looks at; it cannot be changed.")] = Stream.B
    expression: Expression
    per_a: PerA = False


class ConditionChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a condition shall be from now on."""

    expression: Expression
    per_a: PerA = False


class ConditionView(msgspec.Struct, kw_only=True):
    """A condition and how far it is filled."""

    name: Name
    stream: Stream
    expression: Expression
    per_a: PerA
    revision: Annotated[int, Meta(description="Grows with each change.")]
    state: Annotated[State, Meta(description="`filling`: past records are still being looked at.")]
    progress: Annotated[float | None, Meta(description="The share of them that has been, 0 to 1.")]
    answering_revision: Annotated[
        int | None, Meta(description="The revision that counts go by meanwhile; null: none yet.")
    ]
    created_at: Moment
    changed_at: Moment


class ConditionPage(msgspec.Struct, kw_only=True):
    """All conditions, by name."""

    items: list[ConditionView]
    next_cursor: None


SCHEMAS: Final = (ConditionRequest, ConditionChange, ConditionView, ConditionPage)


def view_condition(condition: Condition, revision: int, standing: Standing | None) -> ConditionView:
    """A condition as it is answered; without `standing` while the windows cannot be asked."""
    answering = None if standing is None else standing.answering(condition, revision)
    filling = State.READY if answering == revision else State.FILLING
    return ConditionView(
        name=condition.name,
        stream=condition.stream,
        expression=condition.expression,
        per_a=condition.per_a,
        revision=revision,
        state=State.UNKNOWN if standing is None else filling,
        progress=None if standing is None else round(standing.progress(revision), 4),
        answering_revision=answering,
        created_at=rfc3339_ms(condition.created_at),
        changed_at=rfc3339_ms(condition.changed_at),
    )
