"""Counts as they are asked for in a body, and as they are answered. OpenAPI's schemas come from here too."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from common.contracts import Stream
from windows.questions import Unit

MAX_QUESTIONS: Final = 100

_TIME: Final = {"format": "date-time"}

HowMany = Annotated[int, Meta(description="How many there are.", ge=0, examples=[1234])]
Hours = Annotated[float, Meta(description="How long the window is, in hours; up to now where it is open.")]
Start = Annotated[
    str,
    Meta(
        description="The window begins with this moment.",
        examples=["2026-11-22T08:00:00.000Z"],
        extra_json_schema=_TIME,
    ),
]
End = Annotated[
    str | None,
    Meta(
        description="The window ends before this moment; null: it is open towards the future.", extra_json_schema=_TIME
    ),
]
AsOf = Annotated[
    str | None,
    Meta(
        description="All that was sent before this moment is counted; null while that is unknown.",
        extra_json_schema=_TIME,
    ),
]
Lag = Annotated[float | None, Meta(description="How long ago `as_of` was, in seconds.", examples=[0.3])]
Complete = Annotated[
    bool, Meta(description="False only with `allow_partial`: the condition has not seen every record yet.")
]
Late = Annotated[
    int,
    Meta(
        description="Records of the stream that were older than all windows reach when they were sent, within that "
        "time: they are in no count.",
        ge=0,
        examples=[0],
    ),
]
Revision = Annotated[
    int | None, Meta(description="Which revision of the condition was counted; null where none was asked for.")
]
UnitOf = Annotated[
    Unit, Meta(description="`items`: ids, by their newest version. `events`: records, repeats included.")
]


class Count(msgspec.Struct, kw_only=True):
    """An answer: how many, of what, when, and how fresh."""

    count: HowMany
    unit: UnitOf
    hours: Hours
    window_start: Start
    window_end: End
    condition_revision: Revision
    as_of: AsOf
    lag_seconds: Lag
    complete: Complete
    late: Late


class Bucket(msgspec.Struct, kw_only=True):
    """One step of a series."""

    start: Start
    count: HowMany


class Series(msgspec.Struct, kw_only=True):
    """An answer step by step, the oldest first; each step ends where the next begins, the last with the window."""

    items: list[Bucket]
    step_minutes: Annotated[int, Meta(description="How long a step is, in minutes.", ge=1)]
    unit: UnitOf
    hours: Hours
    window_start: Start
    window_end: End
    condition_revision: Revision
    as_of: AsOf
    lag_seconds: Lag
    complete: Complete
    late: Late


class Asked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A question: the fields are the parameters of `GET /v1/counts/{stream}`."""

    stream: Annotated[Stream, Meta(description="Which stream is counted.")] = Stream.B
    hours: Annotated[float | None, Meta(description="The past so many hours; 24 when nothing is said.")] = None
    from_: Annotated[str | int | None, Meta(description="Instead of `hours`: from when on.")] = msgspec.field(
        default=None, name="from"
    )
    to: Annotated[str | int | None, Meta(description="With `from`: up to when.")] = None
    unit: Annotated[Unit | None, Meta(description="What is counted; see `GET /v1/counts/{stream}`.")] = None
    condition: Annotated[str | None, Meta(description="Only what holds this condition.")] = None
    a_id: Annotated[str | None, Meta(description="Only the B of this A.")] = None
    allow_partial: Annotated[bool, Meta(description="Count even by a condition that is not filled yet.")] = False


class Batch(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Many questions at once."""

    questions: Annotated[
        list[Asked], Meta(description="Answered in their order.", min_length=1, max_length=MAX_QUESTIONS)
    ]


class Counts(msgspec.Struct, kw_only=True):
    """An answer to each question, in their order."""

    items: list[Count]


SCHEMAS: Final = (Count, Series, Batch, Counts)
