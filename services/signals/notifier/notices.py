"""Who is told that a destination was given up, and what. Pure."""

from collections.abc import Iterable, Mapping

from common.alerts import Severity
from common.deliveries import Delivery, DeliveryKind, DeliveryState
from common.destinations import Destination
from common.kafka.control import Versioned
from signals.notifier.documents import after_days

_KEPT_DAYS = 90


def notice_of(
    failed: Versioned[Destination],
    why: str,
    all_: Iterable[Versioned[Destination]],
    given_up: Mapping[str, int],
    now_ms: int,
) -> Delivery | None:
    """The message that tells another destination of it; None where there is no other.

    Args:
        failed: what was given up.
        why: as people are told.
        all_: the destinations that there are.
        given_up: by name, the version of those that were given up before: nothing is sent there.
        now_ms: the moment.
    """
    fit = [one for one in all_ if one.value.enabled and given_up.get(one.value.name) != one.version]
    others = sorted(one.value.name for one in fit if one.value.name != failed.value.name)
    wanted = failed.value.fallback
    if not others:
        return None
    text = (
        f"The destination {failed.value.name!r} was given up: {why}. What was to be sent there is kept as failed. "
        "Mend it, write it anew, then have its deliveries sent again."
    )
    return Delivery(
        id=f"notice-{failed.version}-{failed.value.name}",
        kind=DeliveryKind.NOTICE,
        destination=wanted if wanted in others else others[0],
        state=DeliveryState.PENDING,
        created_at=now_ms,
        due_at=now_ms,
        severity=Severity.CRITICAL,
        detail=text,  # a notifier of 0.2.0 reads it there
        text=text,
        expires=after_days(now_ms, _KEPT_DAYS),
    )
