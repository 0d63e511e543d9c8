"""An alert as it is told: in webhooks, and by the query API."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from common.alerts import Severity, Span, StoredAlert
from common.contracts import RECORD, RecordB, Stream
from common.instants import rfc3339_ms, rfc3339_us


class AlertView(msgspec.Struct, kw_only=True):
    """What was found, where."""

    id: Annotated[str, Meta(description="The same for the same text of the same record.")]
    rule: str
    rule_version: Annotated[int, Meta(description="Of the rule as it was then.")]
    severity: Severity
    stream: Stream
    record: Annotated[
        dict[str, Any], Meta(description="Under the names that it was sent with; empty once its id was erased.")
    ]
    matches: Annotated[
        tuple[Span, ...], Meta(description="`start` and `end` count Unicode code points of the original text.")
    ]
    raised_at: Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


def view_alert(alert: StoredAlert) -> AlertView:
    """A stored alert as it is told."""
    return AlertView(
        id=alert.id,
        rule=alert.rule,
        rule_version=alert.rule_version,
        severity=alert.severity,
        stream=alert.stream,
        record=view_record(alert),
        matches=alert.matches,
        raised_at=rfc3339_ms(alert.raised_at),
    )


def view_record(alert: StoredAlert) -> dict[str, Any]:
    """The record that `alert` was raised on; nothing once its id was erased."""
    if alert.erased_at is not None:
        return {}
    record = msgspec.json.decode(alert.record, type=RECORD[alert.stream])
    parent = {"Stream_A_unique_identifier": record.a_id} if isinstance(record, RecordB) else {}
    return {
        "unique_identifier": record.id,
        **parent,
        "number": record.number,
        "text": record.text,
        "event_time": rfc3339_ms(record.event_time),
        "ingested_at": rfc3339_us(record.ingested_at),
    }
