"""Records and pages as they are answered: under the names they were sent with. OpenAPI's schemas come from here too."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from common.contracts import ID_SCHEMA, MAX_ID_CHARACTERS, StoredA, StoredB, Stream
from common.instants import rfc3339_ms, rfc3339_us

MAX_LOOKUP_IDS: Final = 1000

_FORMAT: Final = {"format": "date-time"}

AId = Annotated[str, Meta(description="The A's id.", max_length=MAX_ID_CHARACTERS, examples=["a-1"])]
BId = Annotated[str, Meta(description="The B's id.", max_length=MAX_ID_CHARACTERS, examples=["b-1"])]
ParentId = Annotated[
    str,
    Meta(
        description="The id of the A that it belongs to; that A may not have arrived yet.",
        max_length=MAX_ID_CHARACTERS,
        examples=["a-1"],
    ),
]
Number = Annotated[float, Meta(description="A finite double.", examples=[12.5])]
Text = Annotated[str, Meta(description="Up to 64 KiB of Unicode; may be empty.", examples=["A refund, please."])]
EventTime = Annotated[
    str,
    Meta(
        description="When it happened, as its sender says; the moment of its ingestion where the sender says nothing.",
        examples=["2026-11-23T08:00:00.000Z"],
        extra_json_schema=_FORMAT,
    ),
]
IngestedAt = Annotated[
    str,
    Meta(
        description="When this version was taken in, to the microsecond.",
        examples=["2026-11-23T08:00:01.250417Z"],
        extra_json_schema=_FORMAT,
    ),
]
FirstSeen = Annotated[
    str,
    Meta(
        description="The smallest event time of any version of this id.",
        examples=["2026-11-01T12:30:00.000Z"],
        extra_json_schema=_FORMAT,
    ),
]
NextCursor = Annotated[str | None, Meta(description="Pass it as `cursor` to read on; null on the last page.")]


class ARecord(msgspec.Struct, kw_only=True, gc=False):
    """The newest version of a record of stream A."""

    id: AId = msgspec.field(name="unique_identifier")
    number: Number
    text: Text
    event_time: EventTime
    ingested_at: IngestedAt
    first_seen: FirstSeen


class BRecord(msgspec.Struct, kw_only=True, gc=False):
    """The newest version of a record of stream B."""

    id: BId = msgspec.field(name="unique_identifier")
    a_id: ParentId = msgspec.field(name="Stream_A_unique_identifier")
    number: Number
    text: Text
    event_time: EventTime
    ingested_at: IngestedAt
    first_seen: FirstSeen


class BPage(msgspec.Struct, kw_only=True):
    """A page of the B of an A."""

    items: list[BRecord]
    next_cursor: NextCursor


class Lookup(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Ids to look up."""

    ids: Annotated[
        list[Annotated[str | int, Meta(extra_json_schema=ID_SCHEMA)]],
        Meta(
            description="Ids; an integer is taken as its decimal string. One may stand there more than once.",
            min_length=1,
            max_length=MAX_LOOKUP_IDS,
        ),
    ]


class AFound(msgspec.Struct, kw_only=True):
    """For each id its A, or null where there is none."""

    items: list[ARecord | None]


class BFound(msgspec.Struct, kw_only=True):
    """For each id its B, or null where there is none."""

    items: list[BRecord | None]


class Erased(msgspec.Struct, kw_only=True):
    """An id whose erasure stands in the log."""

    stream: Stream
    id: Annotated[str, Meta(examples=["a-1"])] = msgspec.field(name="unique_identifier")
    receipt: Annotated[str, Meta(description="To wait for with `wait_for`, on lookups and on counts.")]


SCHEMAS: Final = (ARecord, BRecord, BPage, Lookup, AFound, BFound, Erased)


def view(stored: StoredA) -> ARecord | BRecord:
    """A stored record as it is answered."""
    return view_b(stored) if isinstance(stored, StoredB) else view_a(stored)


def view_a(stored: StoredA) -> ARecord:
    """A stored A as it is answered."""
    return ARecord(
        id=stored.id,
        number=stored.number,
        text=stored.text,
        event_time=rfc3339_ms(stored.event_time),
        ingested_at=rfc3339_us(stored.ingested_at),
        first_seen=rfc3339_ms(stored.first_seen),
    )


def view_b(stored: StoredB) -> BRecord:
    """A stored B as it is answered."""
    return BRecord(
        id=stored.id,
        a_id=stored.a_id,
        number=stored.number,
        text=stored.text,
        event_time=rfc3339_ms(stored.event_time),
        ingested_at=rfc3339_us(stored.ingested_at),
        first_seen=rfc3339_ms(stored.first_seen),
    )
