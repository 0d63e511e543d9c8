"""A message that tries a destination. Pure."""

import secrets
from datetime import UTC, datetime, timedelta

from common.alerts import Severity
from common.deliveries import Delivery, DeliveryKind, DeliveryState
from common.destinations import Destination

_KEPT = timedelta(days=7)


def trial_of(destination: Destination, now_ms: int) -> Delivery:
    """A delivery that is due now, and is tried once."""
    return Delivery(
        id=f"test-{secrets.token_hex(16)}-{destination.name}",
        kind=DeliveryKind.TEST,
        destination=destination.name,
        state=DeliveryState.PENDING,
        created_at=now_ms,
        due_at=now_ms,
        severity=Severity.INFO,
        expires=datetime.fromtimestamp(now_ms / 1000, UTC) + _KEPT,
    )
