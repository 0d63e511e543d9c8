"""What the two halves of `signals` and the query-api agree on: alerts, destinations, silences and deliveries.

`scan` writes an `Alert` to the topic `alerts`; `notifier` keeps it in MongoDB with one `Delivery` for each destination,
and delivers. Destinations and silences are entries of control.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from common.contracts import RECORD, RecordA, Stream


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
    expires: datetime | None = None


def record_of(alert: Alert) -> RecordA:
    """The record that `alert` was raised on; a `RecordB` where its stream is B."""
    return msgspec.json.decode(alert.record, type=RECORD[alert.stream])
