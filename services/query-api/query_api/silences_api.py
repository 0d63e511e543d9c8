"""The silences over HTTP: read with the scope read, written with the scope rules."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Request, Response

from common.contracts import Scope
from common.http.auth import requires
from common.http.bodies import encoded, read_json
from common.http.parameters import only_known_parameters
from query_api.destination_views import SilencePage, SilenceRequest, SilenceView, view_silence
from query_api.documentation import BODY, answers, choices, takes
from query_api.parts import parts_of

_LIMIT_BYTES: Final = 16 * 1024

reading = APIRouter(tags=["silences"], dependencies=[Depends(requires(Scope.READ)), Depends(only_known_parameters)])
writing = APIRouter(tags=["silences"], dependencies=[Depends(requires(Scope.RULES)), Depends(only_known_parameters)])

SilenceId = Annotated[str, Path(description="The silence's id.", openapi_examples=choices(one="7c1e94ab03d5"))]


@reading.get(
    "/v1/silences",
    summary="List the silences",
    description="All of them, the last to end first, those that are over included.",
    responses=answers(200, "The silences.", SilencePage, examples=["silences"]),
)
async def list_silences(request: Request) -> Response:
    parts = parts_of(request)
    now_ms = parts.clock.now_ms()
    return encoded(SilencePage(items=[view_silence(one, now_ms) for one in parts.silences.all()], next_cursor=None))


@reading.get(
    "/v1/silences/{silence_id}",
    summary="Look at a silence",
    description="What it holds for, and until when.",
    responses=answers(200, "The silence.", SilenceView, "not_found", examples=["silence"]),
)
async def get_silence(request: Request, silence_id: SilenceId) -> Response:
    parts = parts_of(request)
    return encoded(view_silence(parts.silences.get(silence_id), parts.clock.now_ms()))


@writing.post(
    "/v1/silences",
    status_code=201,
    summary="Make a silence",
    description="While it lasts, alerts that fit all that it names are kept and not sent; what was sent before, or is "
    "on its way, is not touched.",
    openapi_extra=takes(SilenceRequest, examples=["silence_request", "silence_of_everything"]),
    responses=answers(
        201,
        "The silence, and where to find it in `Location`.",
        SilenceView,
        *BODY,
        "too_many_silences",
        "unavailable",
        examples=["silence"],
    ),
)
async def make_silence(request: Request) -> Response:
    wanted = await read_json(request, SilenceRequest, limit_bytes=_LIMIT_BYTES)
    parts = parts_of(request)
    silence = await parts.silences.make(wanted)
    return encoded(view_silence(silence, parts.clock.now_ms()), 201, {"Location": f"/v1/silences/{silence.id}"})


@writing.delete(
    "/v1/silences/{silence_id}",
    summary="End a silence",
    description="From now on it holds no longer; what it kept is not sent by itself: see `redeliver`.",
    responses=answers(200, "The silence as it was.", SilenceView, "not_found", "unavailable", examples=["silence"]),
)
async def delete_silence(request: Request, silence_id: SilenceId) -> Response:
    parts = parts_of(request)
    return encoded(view_silence(await parts.silences.delete(silence_id), parts.clock.now_ms()))
