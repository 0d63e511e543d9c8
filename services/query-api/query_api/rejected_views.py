"""Rejected records and their replays as they are asked for and answered. OpenAPI's schemas come from here too."""

from base64 import b64encode
from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from common.contracts import StoredRejected, Stream
from common.instants import rfc3339_ms
from query_api.views import NextCursor

MAX_REPLAYS: Final = 1000
MAX_REPLACEMENTS: Final = 100

_TIME: Final = {"format": "date-time"}

Id = Annotated[
    str,
    Meta(
        description="The place in the log of what a worker refused, or the request and the index of what ingest did.",
        examples=["0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331/0"],
    ),
]
RejectedAt = Annotated[str, Meta(examples=["2026-11-23T08:00:00.000Z"], extra_json_schema=_TIME)]
ReplayedAt = Annotated[
    str | None, Meta(description="Null: it was not replayed, or is being replayed.", extra_json_schema=_TIME)
]


class Rejected(msgspec.Struct, kw_only=True):
    """A rejected record without its bytes."""

    id: Id
    stream: Stream
    code: Annotated[str, Meta(description="What is wrong: a code of docs/errors.md.", examples=["missing_field"])]
    detail: Annotated[str, Meta(description="What is wrong, where, and what would be right.")]
    rejected_by: Annotated[str, Meta(description="The service that refused it.", examples=["ingest"])]
    rejected_at: RejectedAt
    size: Annotated[int, Meta(description="Bytes, as they came.")]
    truncated: Annotated[bool, Meta(description="Whether only the first of them were kept.")]
    record_id: Annotated[str | None, Meta(description="Its unique_identifier, where one can be made out.")]
    replayed_at: ReplayedAt


class RejectedWhole(Rejected, kw_only=True):
    """A rejected record with its bytes."""

    text: Annotated[str | None, Meta(description="The bytes as they came; null where they are no UTF-8.")]
    base64: Annotated[str, Meta(description="The bytes as they came, in base64.")]


class RejectedPage(msgspec.Struct, kw_only=True):
    """A page of rejected records, the newest first."""

    items: list[Rejected]
    next_cursor: NextCursor


class Replay(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What shall go in the place of one rejected record."""

    id: Id
    records: (
        Annotated[
            list[msgspec.Raw],
            Meta(
                description="The record or records, as ingest takes them; null or absent: the bytes as they came.",
                min_length=1,
                max_length=MAX_REPLACEMENTS,
            ),
        ]
        | None
    ) = None


class ReplayRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Rejected records to be put into the log again."""

    items: Annotated[list[Replay], Meta(description="Each id once.", min_length=1, max_length=MAX_REPLAYS)]
    dry_run: Annotated[
        bool, Meta(description="Only say what would be accepted, and why the rest would not. Nothing is written.")
    ] = True


class Outcome(StrEnum):
    """What became of one rejected record."""

    ACCEPTABLE = "acceptable"  # of a dry run
    REPLAYED = "replayed"
    REFUSED = "refused"
    REPLAYED_BEFORE = "replayed_before"
    IN_FLIGHT = "in_flight"  # another request is replaying it
    UNKNOWN = "unknown"


class RecordError(msgspec.Struct, kw_only=True):
    """Why a record may not go into the log; `index` counts those that shall go in one rejected record's place."""

    index: int
    field: str | None
    code: str
    detail: str


class Replayed(msgspec.Struct, kw_only=True):
    """What became of one rejected record."""

    id: Id
    outcome: Annotated[
        Outcome,
        Meta(
            description="`acceptable`: of a dry run, it would be `replayed`. `refused`: see `errors`; nothing of it "
            "is written. `replayed_before`: nothing more was written, see `replayed_at`. `in_flight`: another request "
            "is replaying it. `unknown`: there is no such rejected record, or no longer."
        ),
    ]
    errors: list[RecordError] = []
    replayed_at: ReplayedAt = None
    receipt: Annotated[str | None, Meta(description="To wait for with `wait_for`; null where nothing was written.")] = (
        None
    )


class ReplayAnswer(msgspec.Struct, kw_only=True):
    """What became of each, in the order of the request."""

    dry_run: bool
    items: list[Replayed]


SCHEMAS: Final = (Rejected, RejectedWhole, RejectedPage, ReplayRequest, ReplayAnswer)


def view_rejected(stored: StoredRejected) -> Rejected:
    """A rejected record as it is listed."""
    return Rejected(
        id=stored.id,
        stream=Stream(stored.stream),
        code=stored.code,
        detail=stored.detail,
        rejected_by=stored.rejected_by,
        rejected_at=rfc3339_ms(stored.rejected_at),
        size=stored.size,
        truncated=stored.truncated,
        record_id=stored.record_id,
        replayed_at=_replayed_at(stored),
    )


def view_whole(stored: StoredRejected) -> RejectedWhole:
    """A rejected record as it is shown."""
    return RejectedWhole(
        **msgspec.structs.asdict(view_rejected(stored)),
        text=_text(stored.value),
        base64=b64encode(stored.value).decode(),
    )


def _replayed_at(stored: StoredRejected) -> str | None:
    done = stored.replay is not None and stored.replay.receipt is not None
    return rfc3339_ms(stored.replay.at) if done and stored.replay is not None else None


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
