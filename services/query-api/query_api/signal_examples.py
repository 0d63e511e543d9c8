"""The examples of alerts, deliveries, destinations and silences, made of the very structs that are answered."""

from typing import Final

import msgspec

from common.alerts import AlertState, Severity, Span
from common.contracts import Stream
from common.deliveries import DeliveryKind, DeliveryState
from common.destinations import DestinationKind, MuteHours, Weekday
from query_api.alert_views import (
    AlertCount,
    AlertCounts,
    AlertPage,
    AlertSummary,
    AlertWhole,
    AttemptView,
    DeliveryPage,
    DeliveryView,
)
from query_api.destination_views import (
    DestinationChange,
    DestinationPage,
    DestinationRequest,
    DestinationView,
    NewDestination,
    Rotation,
    SilencePage,
    SilenceRequest,
    SilenceState,
    SilenceView,
    State,
)

_ID: Final = "5f0c1e7b9a2d4c6e8f10a3b5c7d9e1f2"
_SUMMARY: Final = AlertSummary(
    id=_ID,
    rule="refunds",
    rule_version=42,
    severity=Severity.WARNING,
    stream=Stream.B,
    record={
        "unique_identifier": "b-1",
        "Stream_A_unique_identifier": "a-1",
        "number": 12.5,
        "text": "Please refund my order.",
        "event_time": "2026-11-23T08:00:00.000Z",
        "ingested_at": "2026-11-23T08:00:01.250417Z",
    },
    matches=(Span("text", 7, 13, "refund", "refund"),),
    raised_at="2026-11-23T08:00:01.262Z",
    state=AlertState.OPEN,
    destinations=("ops",),
    erased_at=None,
    acknowledged_at=None,
    acknowledged_by=None,
    resolved_at=None,
    resolved_by=None,
)
_ARRIVED: Final = AttemptView(
    at="2026-11-23T08:00:01.310Z", latency_ms=42, status=200, error=None, response="thank you"
)
_FAILED: Final = AttemptView(
    at="2026-11-23T08:00:01.310Z", latency_ms=20_000, status=None, error="no answer in time", response=None
)
_DELIVERY: Final = DeliveryView(
    id=f"{_ID}-ops",
    kind=DeliveryKind.ALERT,
    destination="ops",
    state=DeliveryState.DELIVERED,
    detail=None,
    alert=_ID,
    rule="refunds",
    severity=Severity.WARNING,
    created_at="2026-11-23T08:00:01.280Z",
    due_at=None,
    delivered_at="2026-11-23T08:00:01.352Z",
    message=None,
    members=0,
    tries=1,
    attempts=[_ARRIVED],
)
_FAILED_DELIVERY: Final = msgspec.structs.replace(
    _DELIVERY, state=DeliveryState.FAILED, detail="no answer in time", delivered_at=None, tries=11, attempts=[_FAILED]
)
_TRIED: Final = msgspec.structs.replace(
    _DELIVERY,
    id="test-0f3a5c7e9b1d2f4a6c8e0b2d4f6a8c0e-ops",
    kind=DeliveryKind.TEST,
    alert=None,
    rule=None,
    severity=Severity.INFO,
)
_ALERT: Final = AlertWhole(**msgspec.structs.asdict(_SUMMARY), deliveries=[_DELIVERY])
_ACKNOWLEDGED: Final = msgspec.structs.replace(
    _ALERT,
    state=AlertState.ACKNOWLEDGED,
    acknowledged_at="2026-11-23T08:05:00.000Z",
    acknowledged_by="the shop's console",
)
_DESTINATION: Final = DestinationView(
    name="ops",
    kind=DestinationKind.WEBHOOK,
    url="https://ops.example.com/twinstream",
    channel=None,
    enabled=True,
    limit_per_hour=0,
    mute=(),
    fallback="team",
    signs_twice_until=None,
    version=17,
    state=State.OK,
    failing_since=None,
    failures=0,
    last_error=None,
    given_up_at=None,
    created_at="2026-11-23T07:00:00.000Z",
    changed_at="2026-11-23T07:00:00.000Z",
)
_FAILING: Final = msgspec.structs.replace(
    _DESTINATION,
    state=State.FAILING,
    failing_since="2026-11-23T08:00:21.310Z",
    failures=7,
    last_error="no answer in time",
)
_SECRET: Final = "whsec_" + "AAAA" * 10 + "AAA="  # nobody's
_NEW: Final = NewDestination(**msgspec.structs.asdict(_DESTINATION), secret=_SECRET)
_NIGHTS: Final = MuteHours(
    start="20:00", end="07:30", days=tuple(Weekday), zone="Europe/Berlin", let_through=(Severity.CRITICAL,)
)
_SILENCE: Final = SilenceView(
    id="7c1e94ab03d5",
    rule="refunds",
    severity=None,
    destination=None,
    stream=None,
    a_id=None,
    starts_at="2026-11-23T20:00:00.000Z",
    ends_at="2026-11-23T21:30:00.000Z",
    state=SilenceState.ACTIVE,
    comment="the shop moves house",
    created_at="2026-11-23T20:00:00.000Z",
)

SIGNAL_EXAMPLES: Final[dict[str, msgspec.Struct]] = {
    "alerts": AlertPage(items=[_SUMMARY], next_cursor=None),
    "no_alerts": AlertPage(items=[], next_cursor=None),
    "alert": _ALERT,
    "acknowledged_alert": _ACKNOWLEDGED,
    "resolved_alert": msgspec.structs.replace(
        _ACKNOWLEDGED,
        state=AlertState.RESOLVED,
        resolved_at="2026-11-23T09:00:00.000Z",
        resolved_by="the shop's console",
    ),
    "alert_counts": AlertCounts(
        items=[AlertCount(rule="refunds", count=31, last_raised_at="2026-11-23T08:00:01.262Z", hits=148)],
        since="2026-11-22T08:00:00.000Z",
        next_cursor=None,
    ),
    "deliveries": DeliveryPage(items=[_DELIVERY, _FAILED_DELIVERY], next_cursor=None),
    "no_deliveries": DeliveryPage(items=[], next_cursor=None),
    "delivery": _DELIVERY,
    "failed_delivery": _FAILED_DELIVERY,
    "redelivery": msgspec.structs.replace(
        _FAILED_DELIVERY, state=DeliveryState.PENDING, detail=None, due_at="2026-11-25T10:00:00.000Z", tries=0
    ),
    "tried": _TRIED,
    "tried_in_vain": msgspec.structs.replace(
        _TRIED,
        state=DeliveryState.FAILED,
        detail="answered 404",
        delivered_at=None,
        attempts=[msgspec.structs.replace(_ARRIVED, status=404, error="answered 404", response="no such page")],
    ),
    "destination": _DESTINATION,
    "failing_destination": _FAILING,
    "destinations": DestinationPage(items=[_DESTINATION, _FAILING], next_cursor=None),
    "new_destination": _NEW,
    "rotated_destination": msgspec.structs.replace(
        _NEW, signs_twice_until="2026-11-24T09:00:00.000Z", version=23, changed_at="2026-11-23T09:00:00.000Z"
    ),
    "webhook_request": DestinationRequest(
        name="ops", kind=DestinationKind.WEBHOOK, url="https://ops.example.com/twinstream", fallback="team"
    ),
    "slack_request": DestinationRequest(
        name="team",
        kind=DestinationKind.SLACK,
        token="xoxb-0-0-nobodys",  # noqa: S106  # nobody's
        channel="#alerts",
        limit_per_hour=60,
        mute=(_NIGHTS,),
    ),
    "slack_incoming_request": DestinationRequest(
        name="team", kind=DestinationKind.SLACK, url="https://hooks.slack.com/services/T0/B0/nobodys"
    ),
    "webhook_change": DestinationChange(url="https://ops.example.com/twinstream", limit_per_hour=600),
    "slack_change": DestinationChange(channel="#alerts", mute=(_NIGHTS,)),
    "rotation": Rotation(keep_former_hours=48),
    "silence": _SILENCE,
    "silences": SilencePage(items=[_SILENCE], next_cursor=None),
    "silence_request": SilenceRequest(rule="refunds", minutes=90, comment="the shop moves house"),
    "silence_of_everything": SilenceRequest(starts_at="2026-11-23T20:00:00Z", ends_at="2026-11-24T08:00:00Z"),
}
