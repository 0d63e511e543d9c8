"""The bodies of webhooks. Pure; the same for each attempt."""

from collections.abc import Sequence
from typing import Any

import msgspec

from common.alerts import StoredAlert
from common.deliveries import Delivery, DeliveryKind
from common.instants import rfc3339_ms
from delivery.views import view_alert


def body(delivery: Delivery, alerts: Sequence[StoredAlert]) -> bytes:
    """`{"type", "timestamp", "data"}`, as Standard Webhooks recommends."""
    type_, data = _told(delivery, alerts)
    return msgspec.json.encode({"type": type_, "timestamp": rfc3339_ms(delivery.created_at), "data": data})


def _told(delivery: Delivery, alerts: Sequence[StoredAlert]) -> tuple[str, dict[str, Any]]:
    shown = [view_alert(alert) for alert in alerts]
    match delivery.kind:
        case DeliveryKind.ALERT:
            return "alert.fired", {"alerts": shown}
        case DeliveryKind.DIGEST:
            digest = {"total": delivery.total, "part": delivery.part, "parts": delivery.parts}
            return "alert.digest", {"alerts": shown, "digest": digest}
        case DeliveryKind.TEST:
            return "test", {"destination": delivery.destination, "text": "Twinstream reaches you here."}
        case DeliveryKind.NOTICE:
            return "destination.disabled", {"text": delivery.text or delivery.detail}
