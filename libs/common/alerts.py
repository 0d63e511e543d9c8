"""What the two halves of `signals` and the query-api agree on: alerts, destinations, silences and deliveries.

`scan` writes an `Alert` to the topic `alerts`; `notifier` keeps it in MongoDB with one `Delivery` for each destination,
and delivers. Destinations and silences are entries of control.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from itertools import count
from typing import Final

import msgspec

from common.contracts import RECORD, RecordA, Stream, partition_of

ERASURE_KEY: Final = b"erasure/"
"""How the keys of erasures begin; those of alerts are hex digits."""


class Severity(StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Span(msgspec.Struct, frozen=True, gc=False):
    """Where a term of a rule stands in a record: code points of the original, `end` not included."""

    field: str
    start: int
    end: int
    text: str
    pattern: str  # the keyword or regex as the rule has it


class Alert(msgspec.Struct, kw_only=True, frozen=True):
    """A rule that held for a record, with all that a notifier needs: it knows no rules.

    The same id may come any number of times: by a replay, a redelivery, or the same text sent again.
    """

    id: str  # `matching.rules.alert_id`
    rule: str
    rule_version: int
    match_revision: str
    severity: Severity
    stream: Stream
    record: msgspec.Raw  # JSON, as it stands in the log, see `record_of`
    matches: tuple[Span, ...]
    destinations: tuple[str, ...]  # names, as of the rule's version
    cooldown_seconds: int
    group_seconds: int
    raised_at: int  # ms since the epoch
    offset: int = -1  # of the record in its partition of the log; from a scanner that did not tell, before all others


class Erasure(msgspec.Struct, kw_only=True, frozen=True):
    """An id was erased: what alerts of before hold of its record must go.

    It stands in each partition of the topic, behind all alerts that were raised on the id before.
    """

    stream: Stream
    record_id: str
    offset: int  # of the tombstone; alerts on records behind it stay


def erasure_keys(partitions: int) -> Sequence[bytes]:
    """A key for each partition of the topic."""
    keys: dict[int, bytes] = {}
    for n in count():
        if len(keys) == partitions:
            break
        key = ERASURE_KEY + str(n).encode()
        keys.setdefault(partition_of(key, partitions), key)
    return [keys[partition] for partition in range(partitions)]


class AlertState(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class StoredAlert(msgspec.Struct, kw_only=True):
    """The document of an alert. `notifier` inserts it; what people make of it, `query-api` writes."""

    id: str = msgspec.field(name="_id")
    rule: str
    rule_version: int
    match_revision: str
    severity: Severity
    stream: Stream
    record_id: str
    a_id: str  # the record's own id on stream A, its parent's on B
    record: str  # JSON, as it stands in the log
    matches: tuple[Span, ...]
    destinations: tuple[str, ...]
    raised_at: int  # ms since the epoch, int64
    stored_at: int  # ms since the epoch, int64
    state: AlertState = AlertState.OPEN
    acknowledged_at: int | None = None  # ms since the epoch
    acknowledged_by: str | None = None
    resolved_at: int | None = None  # ms since the epoch
    resolved_by: str | None = None
    note: str | None = None
    offset: int = -1  # `Alert.offset`, int64
    # Once its record's id was erased, nothing of the record is left: texts are empty, and so are ids and matches.
    erased_at: int | None = None  # ms since the epoch
    # The tombstone's offset, int64: what was sent behind it begins anew. It is told of no more from then on.
    erased_by: int | None = None
    expires: datetime | None = None


class RuleHits(msgspec.Struct, kw_only=True):
    """The document of how often a rule held, as one partition of the topic tells. Written by `notifier`."""

    id: str = msgspec.field(name="_id")  # partition and rule
    rule: str
    hits: int  # int64: repetitions of the same text included
    last_at: int  # ms since the epoch, int64
    offset: int  # int64: of the topic, up to which it is counted
    expires: datetime | None = None


def record_of(alert: Alert) -> RecordA:
    """The record that `alert` was raised on; a `RecordB` where its stream is B."""
    return msgspec.json.decode(alert.record, type=RECORD[alert.stream])
