"""What an alert comes to in MongoDB: its document, and one delivery for each destination. Pure."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from common.alerts import Alert, Erasure, StoredAlert, record_of
from common.contracts import RecordB
from common.deliveries import Delivery, DeliveryKind, DeliveryState, delivery_id


class Keeping(NamedTuple):
    """What is sent, and how long what is written is kept."""

    notify_within_ms: int
    alerts_days: int
    deliveries_days: int


def stored(alert: Alert, now_ms: int, keeping: Keeping) -> StoredAlert:
    """The document of `alert`."""
    record = record_of(alert)
    return StoredAlert(
        id=alert.id,
        rule=alert.rule,
        rule_version=alert.rule_version,
        match_revision=alert.match_revision,
        severity=alert.severity,
        stream=alert.stream,
        record_id=record.id,
        a_id=record.a_id if isinstance(record, RecordB) else record.id,
        record=bytes(alert.record).decode(),
        matches=alert.matches,
        destinations=alert.destinations,
        raised_at=alert.raised_at,
        offset=alert.offset,
        stored_at=now_ms,
        expires=after_days(now_ms, keeping.alerts_days),
    )


def erased(alert: StoredAlert, erasure: Erasure | None, now_ms: int) -> StoredAlert:
    """`alert` without its record, if that was erased: a replay of the log must find it known."""
    if erasure is None:
        return alert
    return msgspec.structs.replace(
        alert, record="", record_id="", a_id="", matches=(), erased_at=now_ms, erased_by=erasure.offset
    )


def deliveries(alert: Alert, document: StoredAlert, now_ms: int, keeping: Keeping) -> list[Delivery]:
    """One for each destination of `alert`."""
    age_ms = now_ms - record_of(alert).event_time
    too_old = age_ms > keeping.notify_within_ms
    return [
        Delivery(
            id=delivery_id(alert.id, name),
            kind=DeliveryKind.ALERT,
            destination=name,
            state=DeliveryState.TOO_OLD if too_old else DeliveryState.NEW,
            created_at=now_ms,
            due_at=None if too_old else now_ms,
            alert=alert.id,
            rule=alert.rule,
            severity=alert.severity,
            stream=alert.stream,
            a_id=document.a_id,
            cooldown_seconds=alert.cooldown_seconds,
            group_seconds=alert.group_seconds,
            size=len(msgspec.json.encode(alert)),
            detail=f"its record was {age_ms / 3_600_000:.1f} hours old" if too_old else None,
            expires=after_days(now_ms, keeping.deliveries_days),
        )
        for name in dict.fromkeys(alert.destinations)
    ]


def after_days(now_ms: int, days: int) -> datetime:
    """When MongoDB forgets what is written now."""
    return datetime.fromtimestamp(now_ms / 1000, UTC) + timedelta(days=days)
