"""The conditions over HTTP: read with the scope read, written with the scope rules."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request, Response

from common.contracts import Condition, Scope, Stream
from common.errors import TryLater
from common.http.auth import requires
from common.http.bodies import encoded, read_json
from common.http.parameters import only_known_parameters
from common.kafka.control import Versioned
from query_api.condition_views import (
    ConditionChange,
    ConditionPage,
    ConditionRequest,
    ConditionView,
    view_condition,
)
from query_api.documentation import BODY, answers, choices, takes
from query_api.parts import Parts, parts_of
from windows.standing import Standing

_LIMIT_BYTES: Final = 128 * 1024  # the longest expression, every character escaped

reading = APIRouter(tags=["conditions"], dependencies=[Depends(requires(Scope.READ)), Depends(only_known_parameters)])
writing = APIRouter(tags=["conditions"], dependencies=[Depends(requires(Scope.RULES)), Depends(only_known_parameters)])

ConditionName = Annotated[str, Path(description="The condition's name.", openapi_examples=choices(one="big"))]


@reading.get(
    "/v1/conditions",
    summary="List the conditions",
    description="All of them by name, each with how far it is filled.",
    responses=answers(200, "The conditions.", ConditionPage, examples=["conditions"]),
)
async def list_conditions(request: Request) -> Response:
    parts = parts_of(request)
    standings = {stream: await _standing(parts, stream) for stream in Stream}
    views = [_view(entry, standings[entry.value.stream]) for entry in parts.conditions.all()]
    return encoded(ConditionPage(items=views, next_cursor=None))


@reading.get(
    "/v1/conditions/{name}",
    summary="Look at a condition",
    description="What it says, and how far it is filled.",
    responses=answers(
        200, "The condition.", ConditionView, "unknown_condition", examples=["condition", "new_condition"]
    ),
)
async def get_condition(request: Request, name: ConditionName) -> Response:
    return await _answer(request, parts_of(request).conditions.get(name))


@writing.post(
    "/v1/conditions",
    status_code=201,
    summary="Make a condition",
    description="It is tried on sample records first, then counted by at once for what comes from now on, and once "
    "past records have been looked at for all of them.",
    openapi_extra=takes(ConditionRequest, examples=["condition_request"]),
    responses=answers(
        201,
        "The condition, and where to find it in `Location`.",
        ConditionView,
        *BODY,
        "invalid_expression",
        "condition_exists",
        "too_many_conditions",
        "unavailable",
        examples=["new_condition"],
    ),
)
async def make_condition(request: Request) -> Response:
    wanted = await read_json(request, ConditionRequest, limit_bytes=_LIMIT_BYTES)
    entry = await parts_of(request).conditions.make(wanted)
    return await _answer(request, entry, 201, {"Location": f"/v1/conditions/{entry.value.name}"})


@writing.put(
    "/v1/conditions/{name}",
    summary="Change a condition",
    description="A change is a new revision; counts go by the former one until the new one has seen every record.",
    openapi_extra=takes(ConditionChange, examples=["condition_change"]),
    responses=answers(
        200,
        "The condition as it is now.",
        ConditionView,
        *BODY,
        "invalid_expression",
        "unknown_condition",
        "unavailable",
        examples=["changed_condition"],
    ),
)
async def change_condition(request: Request, name: ConditionName) -> Response:
    wanted = await read_json(request, ConditionChange, limit_bytes=_LIMIT_BYTES)
    return await _answer(request, await parts_of(request).conditions.change(name, wanted))


@writing.delete(
    "/v1/conditions/{name}",
    summary="Delete a condition",
    description="Nobody can count by it from now on; what it held is forgotten in a while.",
    responses=answers(
        200, "The condition as it was.", ConditionView, "unknown_condition", "unavailable", examples=["condition"]
    ),
)
async def delete_condition(request: Request, name: ConditionName) -> Response:
    return await _answer(request, await parts_of(request).conditions.delete(name))


async def _answer(
    request: Request, entry: Versioned[Condition], status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    standing = await _standing(parts_of(request), entry.value.stream)
    return encoded(_view(entry, standing), status, headers)


async def _standing(parts: Parts, stream: Stream) -> Standing | None:
    """How conditions stand, or None while the windows cannot be asked: what they say is known all the same."""
    try:
        return (await parts.counts.known(stream)).standing
    except TryLater:
        return None


def _view(entry: Versioned[Condition], standing: Standing | None) -> ConditionView:
    return view_condition(entry.value, entry.version, standing)
