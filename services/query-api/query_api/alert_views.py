"""Alerts and deliveries as they are answered. OpenAPI's schemas come from here too."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from common.alerts import AlertState, Severity, StoredAlert
from common.deliveries import Attempt, Delivery, DeliveryKind, DeliveryState
from common.instants import rfc3339_ms
from delivery.views import AlertView, view_alert
from query_api.views import NextCursor

_TIME: Final = {"format": "date-time"}

Moment = Annotated[str, Meta(examples=["2026-11-23T08:00:00.000Z"], extra_json_schema=_TIME)]
MaybeMoment = Annotated[str | None, Meta(extra_json_schema=_TIME)]


class AttemptView(msgspec.Struct, kw_only=True):
    """One try to deliver."""

    at: Moment
    latency_ms: int
    status: Annotated[int | None, Meta(description="Of the HTTP answer; null where none came.")]
    error: Annotated[str | None, Meta(description="Null: it arrived.")]
    response: Annotated[str | None, Meta(description="The beginning of the answer.")]


class DeliveryView(msgspec.Struct, kw_only=True):
    """What became of an alert, or of another message, at one destination."""

    id: Annotated[str, Meta(description="Also the `webhook-id`, the same at each attempt.")]
    kind: DeliveryKind
    destination: str
    state: Annotated[
        DeliveryState,
        Meta(
            description="`new`, `held` (for a digest), `pending` (for its next attempt) and `digested` (its digest has "
            "not arrived yet) will go on; the others are final: `delivered`, `failed`, `silenced`, `cooled`, "
            "`too_old`, `erased`."
        ),
    ]
    detail: Annotated[str | None, Meta(description="Why it is in this state.")]
    alert: Annotated[str | None, Meta(description="The alert that it is of.")]
    rule: str | None
    severity: Severity
    created_at: Moment
    due_at: Annotated[str | None, Meta(description="When it goes on, while it does.", extra_json_schema=_TIME)]
    delivered_at: MaybeMoment
    message: Annotated[str | None, Meta(description="The digest that it is part of; that one has the attempts.")]
    members: Annotated[int, Meta(description="How many alerts a digest holds.")]
    tries: Annotated[int, Meta(description="Attempts since it was last called for.")]
    attempts: Annotated[list[AttemptView], Meta(description="The last 20.")]


class AlertSummary(AlertView, kw_only=True):
    """An alert, and what people made of it."""

    state: AlertState
    destinations: Annotated[tuple[str, ...], Meta(description="As the rule named them.")]
    erased_at: Annotated[
        str | None, Meta(description="When its record was erased, of which nothing is left.", extra_json_schema=_TIME)
    ]
    acknowledged_at: MaybeMoment
    acknowledged_by: Annotated[str | None, Meta(description="The name of the key.")]
    resolved_at: MaybeMoment
    resolved_by: str | None


class AlertWhole(AlertSummary, kw_only=True):
    """An alert with its deliveries."""

    deliveries: list[DeliveryView]


class AlertPage(msgspec.Struct, kw_only=True):
    """A page of alerts, the newest first."""

    items: list[AlertSummary]
    next_cursor: NextCursor


class DeliveryPage(msgspec.Struct, kw_only=True):
    """A page of deliveries, the newest first."""

    items: list[DeliveryView]
    next_cursor: NextCursor


class AlertCount(msgspec.Struct, kw_only=True):
    """How many alerts a rule raised, and how often it held."""

    rule: str
    count: int
    last_raised_at: Moment
    hits: Annotated[
        int, Meta(description="How often it held, whenever that was: the same text sent again is a hit, but no alert.")
    ]


class AlertCounts(msgspec.Struct, kw_only=True):
    """By rule, the most first."""

    items: list[AlertCount]
    since: Moment
    next_cursor: None


SCHEMAS: Final = (AttemptView, DeliveryView, AlertSummary, AlertWhole, AlertPage, DeliveryPage, AlertCount, AlertCounts)


def view_summary(alert: StoredAlert) -> AlertSummary:
    """An alert as it is listed."""
    return AlertSummary(
        **msgspec.structs.asdict(view_alert(alert)),
        state=alert.state,
        destinations=alert.destinations,
        erased_at=maybe_moment(alert.erased_at),
        acknowledged_at=maybe_moment(alert.acknowledged_at),
        acknowledged_by=alert.acknowledged_by,
        resolved_at=maybe_moment(alert.resolved_at),
        resolved_by=alert.resolved_by,
    )


def view_whole_alert(alert: StoredAlert, deliveries: list[Delivery]) -> AlertWhole:
    """An alert as it is shown by itself."""
    views = [view_delivery(one) for one in deliveries]
    return AlertWhole(**msgspec.structs.asdict(view_summary(alert)), deliveries=views)


def view_delivery(delivery: Delivery) -> DeliveryView:
    """A delivery as it is answered."""
    return DeliveryView(
        id=delivery.id,
        kind=delivery.kind,
        destination=delivery.destination,
        state=delivery.state,
        detail=delivery.detail,
        alert=delivery.alert,
        rule=delivery.rule or None,
        severity=delivery.severity,
        created_at=rfc3339_ms(delivery.created_at),
        due_at=maybe_moment(delivery.due_at),
        delivered_at=maybe_moment(delivery.delivered_at),
        message=delivery.message,
        members=len(delivery.members),
        tries=delivery.tries,
        attempts=[_view_attempt(one) for one in delivery.attempts],
    )


def maybe_moment(at_ms: int | None) -> str | None:
    """A moment as it is answered, or null where there is none."""
    return None if at_ms is None else rfc3339_ms(at_ms)


def _view_attempt(attempt: Attempt) -> AttemptView:
    return AttemptView(
        at=rfc3339_ms(attempt.at),
        latency_ms=attempt.latency_ms,
        status=attempt.status,
        error=attempt.error,
        response=attempt.response,
    )
