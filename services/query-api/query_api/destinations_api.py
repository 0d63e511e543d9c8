"""The destinations over HTTP: read with the scope read, written with the scope rules."""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request, Response

from common.contracts import Scope
from common.deliveries import Delivery, DestinationHealth
from common.destinations import Destination
from common.errors import TryLater
from common.http.auth import requires
from common.http.bodies import encoded, read_json
from common.http.parameters import only_known_parameters
from common.kafka.control import Versioned
from query_api.alert_views import DeliveryView, view_delivery
from query_api.destination_book import Made
from query_api.destination_views import (
    DestinationChange,
    DestinationPage,
    DestinationRequest,
    DestinationView,
    NewDestination,
    Rotation,
    view_destination,
)
from query_api.documentation import BODY, answers, choices, takes
from query_api.parts import Parts, parts_of
from query_api.trials import trial_of

_LIMIT_BYTES: Final = 64 * 1024
_TRIAL_S: Final = 25.0  # longer than one attempt may take
_LOOK_EVERY_S: Final = 0.1

reading = APIRouter(tags=["destinations"], dependencies=[Depends(requires(Scope.READ)), Depends(only_known_parameters)])
writing = APIRouter(
    tags=["destinations"], dependencies=[Depends(requires(Scope.RULES)), Depends(only_known_parameters)]
)

DestinationName = Annotated[str, Path(description="The destination's name.", openapi_examples=choices(one="ops"))]
_NO_STORE: Final = {"Cache-Control": "no-store"}


@reading.get(
    "/v1/destinations",
    summary="List the destinations",
    description="All of them by name, each with how it does; never with its secrets.",
    responses=answers(200, "The destinations.", DestinationPage, examples=["destinations"]),
)
async def list_destinations(request: Request) -> Response:
    parts = parts_of(request)
    health = await _health(parts)
    views = [_view(entry, health) for entry in parts.destinations.all()]
    return encoded(DestinationPage(items=views, next_cursor=None))


@reading.get(
    "/v1/destinations/{name}",
    summary="Look at a destination",
    description="Where it leads, and how it does; never its secrets.",
    responses=answers(
        200, "The destination.", DestinationView, "unknown_destination", examples=["destination", "failing_destination"]
    ),
)
async def get_destination(request: Request, name: DestinationName) -> Response:
    parts = parts_of(request)
    return encoded(_view(parts.destinations.get(name), await _health(parts)))


@writing.post(
    "/v1/destinations",
    status_code=201,
    summary="Make a destination",
    description="A webhook, or a Slack channel. A webhook's signing secret is made here unless one is given, and is in "
    "the answer, this once.",
    openapi_extra=takes(DestinationRequest, examples=["webhook_request", "slack_request", "slack_incoming_request"]),
    responses=answers(
        201,
        "The destination, and where to find it in `Location`.",
        NewDestination,
        *BODY,
        "invalid_destination",
        "destination_exists",
        "too_many_destinations",
        "unavailable",
        examples=["new_destination"],
    ),
)
async def make_destination(request: Request) -> Response:
    wanted = await read_json(request, DestinationRequest, limit_bytes=_LIMIT_BYTES)
    made = await parts_of(request).destinations.make(wanted)
    return encoded(_view_made(made), 201, {"Location": f"/v1/destinations/{made.entry.value.name}", **_NO_STORE})


@writing.put(
    "/v1/destinations/{name}",
    summary="Change a destination",
    description="All of it but its kind; a secret that is not given stays what it was. One that was given up begins "
    "anew with it.",
    openapi_extra=takes(DestinationChange, examples=["webhook_change", "slack_change"]),
    responses=answers(
        200,
        "The destination as it is now.",
        DestinationView,
        *BODY,
        "invalid_destination",
        "unknown_destination",
        "unavailable",
        examples=["destination"],
    ),
)
async def change_destination(request: Request, name: DestinationName) -> Response:
    wanted = await read_json(request, DestinationChange, limit_bytes=_LIMIT_BYTES)
    parts = parts_of(request)
    return encoded(_view(await parts.destinations.change(name, wanted), await _health(parts)))


@writing.post(
    "/v1/destinations/{name}/rotate",
    summary="Rotate a webhook's signing secret",
    description="From now on a new secret signs; the former one signs beside it until the receiver has been told.",
    openapi_extra=takes(Rotation, examples=["rotation"]),
    responses=answers(
        200,
        "The destination, and the new secret where it was made here.",
        NewDestination,
        *BODY,
        "invalid_destination",
        "unknown_destination",
        "unavailable",
        examples=["rotated_destination"],
    ),
)
async def rotate_destination(request: Request, name: DestinationName) -> Response:
    wanted = await read_json(request, Rotation, limit_bytes=_LIMIT_BYTES)
    made = await parts_of(request).destinations.rotate(name, wanted)
    return encoded(_view_made(made), 200, dict(_NO_STORE))


@writing.post(
    "/v1/destinations/{name}/test",
    summary="Try a destination",
    description="Sends one message there, past everything that would keep it back, and answers with what became of it: "
    "`delivered`, or `failed` and why. One attempt is made. `pending`: no notifier got to it within 25 seconds.",
    responses=answers(
        200,
        "What became of the message.",
        DeliveryView,
        "unknown_destination",
        "unavailable",
        examples=["tried", "tried_in_vain"],
    ),
)
async def try_destination(request: Request, name: DestinationName) -> Response:
    parts = parts_of(request)
    destination = parts.destinations.get(name).value
    trial = trial_of(destination, parts.clock.now_ms())
    await parts.alerts.insert(trial)
    return encoded(view_delivery(await _result(parts, trial)))


@writing.delete(
    "/v1/destinations/{name}",
    summary="Delete a destination",
    description="What was still to be sent there is kept as failed. Rules that name it go on without it.",
    responses=answers(
        200,
        "The destination as it was.",
        DestinationView,
        "unknown_destination",
        "unavailable",
        examples=["destination"],
    ),
)
async def delete_destination(request: Request, name: DestinationName) -> Response:
    parts = parts_of(request)
    health = await _health(parts)
    return encoded(_view(await parts.destinations.delete(name), health))


async def _result(parts: Parts, trial: Delivery) -> Delivery:
    """The delivery once it was tried, or as it is when patience ends."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _TRIAL_S
    while loop.time() < deadline:
        found = await parts.alerts.delivery(trial.id)
        if found is not None and found.due_at is None:
            return found
        await asyncio.sleep(_LOOK_EVERY_S)
    return trial


async def _health(parts: Parts) -> dict[str, DestinationHealth] | None:
    """How destinations do, or None while MongoDB cannot be asked: what they are is known all the same."""
    try:
        return await parts.alerts.health()
    except TryLater:
        return None


def _view(entry: Versioned[Destination], health: dict[str, DestinationHealth] | None) -> DestinationView:
    its = None if health is None else health.get(entry.value.name)
    return view_destination(entry.value, entry.version, its, known=health is not None)


def _view_made(made: Made) -> NewDestination:
    view = _view(made.entry, {})
    return NewDestination(**{name: getattr(view, name) for name in view.__struct_fields__}, secret=made.secret)
