"""Who is told that a destination was given up, and what. Pure."""

from collections.abc import Iterable

from common.alerts import Severity
from common.deliveries import Delivery, DeliveryKind, DeliveryState
from common.destinations import Destination
from common.kafka.control import Versioned
from signals.notifier.documents import after_days

_KEPT_DAYS = 90


def notice_of(
    failed: Versioned[Destination], why: str, all_: Iterable[Versioned[Destination]], now_ms: int
) -> Delivery | None:
    """The message that tells another destination of it; None where there is no other."""
    others = sorted(entry.value.name for entry in all_ if entry.value.enabled and entry.value.name != failed.value.name)
    wanted = failed.value.fallback
    if not others:
        return None
    return Delivery(
        id=f"notice-{failed.version}-{failed.value.name}",
        kind=DeliveryKind.NOTICE,
        destination=wanted if wanted in others else others[0],
        state=DeliveryState.PENDING,
        created_at=now_ms,
        due_at=now_ms,
        severity=Severity.CRITICAL,
        detail=f"The destination {failed.value.name!r} was given up: {why}. What was to be sent there is kept as "
        "failed. Mend it, write it anew, then have its deliveries sent again.",
        expires=after_days(now_ms, _KEPT_DAYS),
    )
