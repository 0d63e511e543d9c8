"""Deliveries over HTTP: the log of what was sent, read with the scope read; sent again with the scope rules."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from common.contracts import Scope
from common.deliveries import Delivery, DeliveryKind, DeliveryState
from common.errors import Refused
from common.http.auth import requires
from common.http.bodies import encoded
from common.http.parameters import only_known_parameters
from query_api.alert_views import DeliveryPage, DeliveryView, view_delivery
from query_api.documentation import answers, choices
from query_api.pages import Cursor, at_or_after, before, per_page
from query_api.parts import Parts, parts_of
from query_api.signal_walks import DeliveryWalk
from query_api.waiting import alerts_waited_for
from query_api.walks import Place, parse_since

reading = APIRouter(
    tags=["deliveries"],
    dependencies=[Depends(requires(Scope.READ)), Depends(only_known_parameters), Depends(alerts_waited_for)],
)
writing = APIRouter(tags=["deliveries"], dependencies=[Depends(requires(Scope.RULES)), Depends(only_known_parameters)])

_ALERT: Final = "5f0c1e7b9a2d4c6e8f10a3b5c7d9e1f2"

To = Annotated[str | None, Query(description="Only to this destination.", openapi_examples=choices(one="ops"))]
InState = Annotated[
    DeliveryState | None,
    Query(description="Only those that are so; `failed` are given up.", openapi_examples=choices(given_up="failed")),
]
OfKind = Annotated[DeliveryKind | None, Query(description="Only of this kind.", openapi_examples=choices(one="digest"))]
OfRule = Annotated[str | None, Query(description="Only of this rule.", openapi_examples=choices(one="refunds"))]
OfAlert = Annotated[str | None, Query(description="Only of this alert.", openapi_examples=choices(one=_ALERT))]
OfMessage = Annotated[
    str | None,
    Query(description="Only what is part of this digest.", openapi_examples=choices(one=f"digest-{_ALERT}-ops")),
]
Since = Annotated[str | None, at_or_after("made")]
Until = Annotated[str | None, before("made")]
Limit = Annotated[int, per_page("Deliveries")]
DeliveryId = Annotated[str, Path(description="The delivery's id.", openapi_examples=choices(one=f"{_ALERT}-ops"))]


@reading.get(
    "/v1/deliveries",
    summary="List the deliveries",
    description="What was sent, is to be sent or was kept back, the newest first, each with its last attempts.",
    responses=answers(
        200,
        "A page.",
        DeliveryPage,
        "invalid_cursor",
        "not_yet",
        "unavailable",
        examples=["deliveries", "no_deliveries"],
    ),
)
async def list_deliveries(  # noqa: PLR0913  # one for each query parameter
    request: Request,
    *,
    destination: To = None,
    state: InState = None,
    kind: OfKind = None,
    rule: OfRule = None,
    alert: OfAlert = None,
    message: OfMessage = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    parts = parts_of(request)
    since_ms, until_ms = parse_since(since), parse_since(until, "until")
    walk = DeliveryWalk(destination, state, kind, rule, alert, message, since_ms, until_ms)
    after = parts.cursors.after(walk, cursor)
    found = await parts.alerts.deliveries(walk, after, limit + 1)
    items, next_cursor = parts.cursors.cut(walk, found, limit, lambda one: Place(one.created_at, one.id))
    return encoded(DeliveryPage(items=[view_delivery(one) for one in items], next_cursor=next_cursor))


@reading.get(
    "/v1/deliveries/{delivery_id}",
    summary="Look at a delivery",
    description="What became of it, attempt by attempt.",
    responses=answers(
        200,
        "The delivery.",
        DeliveryView,
        "not_found",
        "not_yet",
        "unavailable",
        examples=["delivery", "failed_delivery"],
    ),
)
async def get_delivery(request: Request, delivery_id: DeliveryId) -> Response:
    return encoded(view_delivery(await _known(parts_of(request), delivery_id)))


@writing.post(
    "/v1/deliveries/{delivery_id}/redeliver",
    summary="Send a delivery again",
    description="Whatever became of it: it leaves within a second, by itself, past silences, cooldowns and limits, "
    "with the same `webhook-id`, and is tried as often as a new one.",
    responses=answers(
        200,
        "The delivery, due now.",
        DeliveryView,
        "not_found",
        "unknown_destination",
        "delivery_open",
        "unavailable",
        examples=["redelivery"],
    ),
)
async def redeliver(request: Request, delivery_id: DeliveryId) -> Response:
    parts = parts_of(request)
    delivery = await _known(parts, delivery_id)
    parts.destinations.get(delivery.destination)
    if not await parts.alerts.call_for(delivery_id, parts.clock.now_ms()):
        raise Refused("delivery_open", f"It is {delivery.state.value}: it leaves by itself.")
    return encoded(view_delivery(await _known(parts, delivery_id)))


async def _known(parts: Parts, delivery_id: str) -> Delivery:
    delivery = await parts.alerts.delivery(delivery_id)
    if delivery is None:
        raise Refused("not_found", f"There is no delivery {delivery_id[:120]!r}, or no longer.")
    return delivery
