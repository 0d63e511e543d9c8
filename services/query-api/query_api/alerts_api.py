"""Alerts over HTTP: looked through with the scope read, acknowledged and resolved with the scope rules."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from common.alerts import AlertState, Severity, StoredAlert
from common.contracts import Scope, Stream
from common.errors import Refused
from common.http.auth import caller_of, requires
from common.http.bodies import encoded
from common.http.parameters import only_known_parameters
from common.instants import rfc3339_ms
from query_api.alert_views import AlertCount, AlertCounts, AlertPage, AlertWhole, view_summary, view_whole_alert
from query_api.documentation import answers, choices
from query_api.pages import Cursor, at_or_after, before, per_page
from query_api.parts import Parts, parts_of
from query_api.signal_walks import AlertWalk
from query_api.waiting import alerts_waited_for
from query_api.walks import Place, parse_since

_DAY_MS: Final = 24 * 60 * 60 * 1000

reading = APIRouter(
    tags=["alerts"],
    dependencies=[Depends(requires(Scope.READ)), Depends(only_known_parameters), Depends(alerts_waited_for)],
)
writing = APIRouter(tags=["alerts"], dependencies=[Depends(requires(Scope.RULES)), Depends(only_known_parameters)])

OfRule = Annotated[str | None, Query(description="Only of this rule.", openapi_examples=choices(one="refunds"))]
OfSeverity = Annotated[
    Severity | None, Query(description="Only of this severity.", openapi_examples=choices(one="critical"))
]
OfStream = Annotated[
    Stream | None, Query(description="Only on records of this stream.", openapi_examples=choices(one="b"))
]
OfA = Annotated[str | None, Query(description="Only on this A and its B.", openapi_examples=choices(one="a-1"))]
InState = Annotated[
    AlertState | None, Query(description="Only those that are so.", openapi_examples=choices(one="open"))
]
Since = Annotated[str | None, at_or_after("raised")]
Until = Annotated[str | None, before("raised")]
Limit = Annotated[int, per_page("Alerts")]
AlertId = Annotated[
    str, Path(description="The alert's id.", openapi_examples=choices(one="5f0c1e7b9a2d4c6e8f10a3b5c7d9e1f2"))
]


@reading.get(
    "/v1/alerts",
    summary="List the alerts",
    description="What was found, the newest first. They are kept for a year, or as long as the settings say.",
    responses=answers(
        200, "A page.", AlertPage, "invalid_cursor", "not_yet", "unavailable", examples=["alerts", "no_alerts"]
    ),
)
async def list_alerts(  # noqa: PLR0913  # one for each query parameter
    request: Request,
    *,
    rule: OfRule = None,
    severity: OfSeverity = None,
    stream: OfStream = None,
    a_id: OfA = None,
    state: InState = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    parts = parts_of(request)
    walk = AlertWalk(rule, severity, stream, a_id, state, parse_since(since), parse_since(until, "until"))
    after = parts.cursors.after(walk, cursor)
    found = await parts.alerts.alerts(walk, after, limit + 1)
    items, next_cursor = parts.cursors.cut(walk, found, limit, lambda one: Place(one.raised_at, one.id))
    return encoded(AlertPage(items=[view_summary(one) for one in items], next_cursor=next_cursor))


@reading.get(
    "/v1/alerts/counts",
    summary="Count the alerts of each rule",
    description="How many alerts each rule raised, the most first: within the past day unless `since` says otherwise. "
    "And how often it held, repetitions of the same text included.",
    responses=answers(200, "By rule.", AlertCounts, "not_yet", "unavailable", examples=["alert_counts"]),
)
async def count_alerts(request: Request, since: Since = None) -> Response:
    parts = parts_of(request)
    since_ms = parse_since(since)
    since_ms = parts.clock.now_ms() - _DAY_MS if since_ms is None else since_ms
    items = [
        AlertCount(rule=one.rule, count=one.count, last_raised_at=rfc3339_ms(one.last_raised_at), hits=one.hits)
        for one in await parts.alerts.counts(since_ms)
    ]
    return encoded(AlertCounts(items=items, since=rfc3339_ms(since_ms), next_cursor=None))


@reading.get(
    "/v1/alerts/{alert_id}",
    summary="Look at an alert",
    description="What was found, what people made of it, and whom it reached.",
    responses=answers(200, "The alert.", AlertWhole, "not_found", "not_yet", "unavailable", examples=["alert"]),
)
async def get_alert(request: Request, alert_id: AlertId) -> Response:
    return await _answer(parts_of(request), alert_id)


@writing.post(
    "/v1/alerts/{alert_id}/ack",
    summary="Acknowledge an alert",
    description="Somebody has seen it. A second time, or once it is resolved, changes nothing.",
    responses=answers(
        200, "The alert as it is now.", AlertWhole, "not_found", "unavailable", examples=["acknowledged_alert"]
    ),
)
async def acknowledge_alert(request: Request, alert_id: AlertId) -> Response:
    parts = parts_of(request)
    await parts.alerts.acknowledge(alert_id, caller_of(request).name, parts.clock.now_ms())
    return await _answer(parts, alert_id)


@writing.post(
    "/v1/alerts/{alert_id}/resolve",
    summary="Resolve an alert",
    description="Nothing more is to be done about it. A second time changes nothing.",
    responses=answers(
        200, "The alert as it is now.", AlertWhole, "not_found", "unavailable", examples=["resolved_alert"]
    ),
)
async def resolve_alert(request: Request, alert_id: AlertId) -> Response:
    parts = parts_of(request)
    await parts.alerts.resolve(alert_id, caller_of(request).name, parts.clock.now_ms())
    return await _answer(parts, alert_id)


async def _answer(parts: Parts, alert_id: str) -> Response:
    alert = await _known(parts, alert_id)
    return encoded(view_whole_alert(alert, await parts.alerts.of_alert(alert)))


async def _known(parts: Parts, alert_id: str) -> StoredAlert:
    alert = await parts.alerts.alert(alert_id)
    if alert is None:
        raise Refused("not_found", f"There is no alert {alert_id[:64]!r}, or no longer.")
    return alert
