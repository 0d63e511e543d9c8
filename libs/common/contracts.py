"""What services agree on: the records, their versions, the topics and the stored names. The one definition of each."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

# --- limits ---------------------------------------------------------------------------------------------------------

MAX_ID_CHARACTERS: Final = 256
CONTROL_CHARACTERS: Final = r"\x00-\x1f\x7f-\x9f"  # no id has one; Unicode's category Cc, to stand in a regex's [ ]
MAX_TEXT_BYTES: Final = 64 * 1024
MAX_INTEGER: Final = 2**53  # beyond it, an integer and a double no longer agree
MIN_EVENT_TIME_MS: Final = 946_684_800_000  # 2000-01-01T00:00:00Z
MAX_AHEAD_MS: Final = 5 * 60 * 1000


class Stream(StrEnum):
    """The two streams; ids of one say nothing about ids of the other."""

    A = "a"
    B = "b"


# --- records --------------------------------------------------------------------------------------------------------


# What an id may be, as JSON Schema says it; an integer stands for its decimal string.
ID_SCHEMA: Final = {"minLength": 1, "maxLength": MAX_ID_CHARACTERS, "pattern": f"^[^{CONTROL_CHARACTERS}]*$"}

# What the OpenAPI document says of fields; msgspec checks none of it here: ingest does, to explain what it refuses.
_ID = Meta(
    description="1 to 256 characters, none of them a control character; an integer stands for its decimal string",
    examples=["order-1", 4711],
    extra_json_schema=ID_SCHEMA,
)
_NUMBER = Meta(description="a finite double; an integer lies within ±2^53", examples=[12.5, 4])
_TEXT = Meta(
    description="up to 64 KiB of UTF-8; may be empty, not absent",
    examples=["It leaks, I want a refund."],
    extra_json_schema={"maxLength": MAX_TEXT_BYTES},
)
_EVENT_TIME = Meta(
    description="when it happened: RFC 3339 with an offset, or epoch milliseconds; from the year 2000 to five minutes "
    "ahead of now; kept in whole milliseconds; absent or null, it is the moment of ingestion",
    examples=["2026-11-23T08:00:00Z", 1795420800000],
    extra_json_schema={"format": "date-time", "minimum": MIN_EVENT_TIME_MS},
)


class IncomingA(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A record of stream A as a client sends it. `event_time`: RFC 3339 with an offset, or epoch milliseconds."""

    id: Annotated[str | int, _ID] = msgspec.field(name="unique_identifier")
    number: Annotated[int | float, _NUMBER]
    text: Annotated[str, _TEXT]
    event_time: Annotated[datetime | int | None, _EVENT_TIME] = None


class IncomingB(IncomingA, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A record of stream B as a client sends it; `Stream_A_unique_identifier` names its parent."""

    a_id: Annotated[str | int, _ID] = msgspec.field(name="Stream_A_unique_identifier")


# What every store must be able to rely on. `ingest` checks more and explains it better; in the log these only keep out
# what something else wrote there.
Id = Annotated[str, Meta(min_length=1, max_length=MAX_ID_CHARACTERS)]
Text = Annotated[str, Meta(max_length=MAX_TEXT_BYTES)]  # characters: no more of them than bytes
Instant = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]  # in whatever unit: an int64, and exact as a double


class RecordA(msgspec.Struct, kw_only=True, gc=False):
    """A valid record of stream A as it stands in the log.

    Unknown fields are ignored here, so that a newer writer and an older reader can run side by side.
    """

    id: Id = msgspec.field(name="unique_identifier")
    number: float
    text: Text
    event_time: Instant  # ms since the epoch
    ingested_at: Instant  # µs since the epoch, strictly increasing within an ingest process


class RecordB(RecordA, kw_only=True, gc=False):
    """A valid record of stream B as it stands in the log."""

    a_id: Id = msgspec.field(name="Stream_A_unique_identifier")


Record = RecordA  # RecordB is one too
INCOMING: Final[Mapping[Stream, type[IncomingA]]] = {Stream.A: IncomingA, Stream.B: IncomingB}
RECORD: Final[Mapping[Stream, type[RecordA]]] = {Stream.A: RecordA, Stream.B: RecordB}


class Version(NamedTuple):
    """What orders two records of one id: the greater one wins in every store, whatever the order of arrival."""

    event_time: int  # ms
    ingested_at: int  # µs
    content_hash: int  # 48 bits: exact as a double, which Lua scripts and JSON readers need


def version_of(record: RecordA) -> Version:
    """The version of `record`; the hash only breaks ties between equal times."""
    content = msgspec.json.encode((record.number, record.text, getattr(record, "a_id", None)))
    digest = blake2b(content, digest_size=6).digest()
    return Version(record.event_time, record.ingested_at, int.from_bytes(digest, "big"))


# --- topics ---------------------------------------------------------------------------------------------------------

DAY_MS: Final = 24 * 60 * 60 * 1000


@dataclass(frozen=True)
class Topic:
    """A topic and how it must be configured; `partitioned` ones get as many partitions as the deployment says."""

    name: str
    partitioned: bool
    config: Mapping[str, str]


RECORDS: Final[Mapping[Stream, str]] = {Stream.A: "records.a", Stream.B: "records.b"}
REJECTED: Final = "records.rejected"
CONTROL: Final = "control"
ALERTS: Final = "alerts"

TOPICS: Final = (
    Topic(RECORDS[Stream.A], partitioned=True, config={"retention.ms": str(35 * DAY_MS)}),
    Topic(RECORDS[Stream.B], partitioned=True, config={"retention.ms": str(8 * DAY_MS)}),
    Topic(REJECTED, partitioned=True, config={"retention.ms": str(30 * DAY_MS)}),
    Topic(ALERTS, partitioned=True, config={"retention.ms": str(8 * DAY_MS)}),
    # One partition: an entry's version is its offset, and one order holds for all of them.
    Topic(CONTROL, partitioned=False, config={"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1"}),
)


SCAN: Final = "scan"
"""The consumer group whose committed offsets are its positions: what it finds goes into the log again."""


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of an id: any stable hash serves, for only ingest writes these topics; CRC-32 runs in C."""
    return zlib.crc32(key) % partitions


# --- records.rejected -----------------------------------------------------------------------------------------------


class Rejection(msgspec.Struct, kw_only=True, frozen=True):
    """Why a record was put aside. The bytes as they came are the message's value; this travels in its headers."""

    code: str  # stable, see docs/errors.md
    detail: str  # what is wrong, where, and what would be right
    stream: str  # "a" or "b"
    rejected_by: str  # the service
    rejected_at: int  # ms since the epoch
    source: str  # topic/partition/offset, or request id/index
    size: int  # bytes as they came, before a cut
    truncated: bool = False


# --- control --------------------------------------------------------------------------------------------------------


class ControlKind(StrEnum):
    """The kinds of entries in the control topic; an entry's key is `kind/id`."""

    KEY = "key"
    CONDITION = "condition"
    RULE = "rule"
    DESTINATION = "destination"
    SILENCE = "silence"


class Scope(StrEnum):
    """What a key may do. `admin` manages keys; it does not imply the others."""

    INGEST = "ingest"
    READ = "read"
    RULES = "rules"
    ANALYTICS = "analytics"
    ADMIN = "admin"


class ApiKey(msgspec.Struct, kw_only=True, frozen=True):
    """An API key as it stands in control: its secret's hash only."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    secret_sha256: str  # hex
    created_at: int  # ms since the epoch
    revoked_at: int | None = None  # ms since the epoch


class Condition(msgspec.Struct, kw_only=True, frozen=True):
    """A condition as it stands in control; the offset that wrote it is its revision."""

    name: str
    stream: Stream
    expression: str  # CEL, see matching.conditions
    per_a: bool = False  # whether it is counted for each A too
    created_at: int  # ms since the epoch
    changed_at: int  # ms since the epoch: when its expression, stream or per_a last became what they are


# --- MongoDB --------------------------------------------------------------------------------------------------------


class Collections:
    """Names of the collections; a record's collection is named as its stream, and numbered once it was rebuilt."""

    GENERATIONS: Final = "generations"
    POSITIONS: Final = "positions"
    ALERTS: Final = "alerts"
    DELIVERIES: Final = "deliveries"
    DESTINATIONS: Final = "destinations"  # how each does
    RULE_HITS: Final = "rule_hits"  # how often each rule held
    REJECTED: Final = "rejected"
    ERASED: Final = "erased"  # ids, for as long as what was rejected under them could still arrive

    @staticmethod
    def of(stream: Stream, generation: int = 0) -> str:
        return f"{stream.value}.r{generation}" if generation else stream.value


class StoredA(msgspec.Struct, kw_only=True, gc=False):
    """The document of an id of stream A: its newest version. Written by `documents`, read by `query-api`.

    An id that was erased has a document without these fields for a while, `documents.writes` says what for.
    """

    id: str = msgspec.field(name="_id")
    number: float
    text: str
    event_time: int  # ms since the epoch, int64
    ingested_at: int  # µs since the epoch, int64
    content_hash: int  # `Version.content_hash`, int64
    first_seen: int  # ms since the epoch, int64: the smallest event time of any version ever taken


class StoredB(StoredA, kw_only=True, gc=False):
    """The document of an id of stream B."""

    a_id: str


STORED: Final[Mapping[Stream, type[StoredA]]] = {Stream.A: StoredA, Stream.B: StoredB}


class StoredPosition(msgspec.Struct, kw_only=True):
    """The next offset of a partition to read: everything before it is in the documents."""

    id: str = msgspec.field(name="_id")  # `position_id`
    offset: int
    writes: list[int] | None = None  # the generations that every document goes into; None: the one that answers


class StoredGeneration(msgspec.Struct, kw_only=True):
    """Which collection answers for a stream; absent, the first, 0. A rebuild fills the next one, then switches."""

    id: Stream = msgspec.field(name="_id")
    number: int = 0


GENERATION_KEPT_S: Final = 10.0
"""How long the former collection stays, written to as before: whoever has asked less than that ago reads on in it."""


class StoredReplay(msgspec.Struct, kw_only=True):
    """The one time that a rejected record was put into the log again, mended or as it was. Written by `query-api`."""

    owner: str  # the attempt that may finish it
    fingerprint: str  # of the records that went, or are about to go, in its place
    first_us: int  # the `ingested_at` of the first of them, int64: a repeat after a crash makes the same versions
    lease_until: int  # ms since the epoch, int64: then its owner has vanished, and another may take over
    by: str  # the id of the API key
    at: int  # ms since the epoch, int64
    receipt: str | None = None  # once the log has them


class StoredRejected(msgspec.Struct, kw_only=True):
    """A rejected record, with the fields of `Rejection`. Written by `documents`, read by `query-api`."""

    id: str = msgspec.field(name="_id")  # the message's key, and `Rejection.source`
    stream: str
    code: str
    detail: str
    rejected_by: str
    rejected_at: int  # ms since the epoch, int64
    size: int
    truncated: bool
    record_id: str | None  # its unique_identifier, where one can be made out
    value: bytes = b""  # as they came; left out of lists
    replay: StoredReplay | None = None


def position_id(topic: str, partition: int) -> str:
    """The id of a partition's position, such as "records.b/0"; the topic without prefix."""
    return f"{topic}/{partition}"
