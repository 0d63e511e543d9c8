"""Rejected records over HTTP: looked through with the scope read, replayed with the scope ingest."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from common.contracts import Scope, Stream
from common.errors import Refused
from common.http.auth import caller_of, requires
from common.http.bodies import encoded, read_json
from common.http.parameters import only_known_parameters
from common.http.paths import decoded_id
from query_api.documentation import BODY, answers, choices, takes
from query_api.pages import Cursor, at_or_after, before, per_page
from query_api.parts import parts_of
from query_api.rejected_views import (
    RejectedPage,
    RejectedWhole,
    ReplayAnswer,
    ReplayRequest,
    view_rejected,
    view_whole,
)
from query_api.replays import Replacements
from query_api.waiting import rejected_waited_for
from query_api.walks import Place, RejectedWalk, parse_since

_LIMIT_BYTES: Final = 16 * 1024 * 1024

reading = APIRouter(
    tags=["rejected"],
    dependencies=[Depends(requires(Scope.READ)), Depends(only_known_parameters), Depends(rejected_waited_for)],
)
writing = APIRouter(tags=["rejected"], dependencies=[Depends(requires(Scope.INGEST)), Depends(only_known_parameters)])

InStream = Annotated[
    Stream | None, Query(description="Only what was sent to this stream.", openapi_examples=choices(one="b"))
]
WithCode = Annotated[
    str | None,
    Query(description="Only what was refused for this reason.", openapi_examples=choices(one="missing_field")),
]
Since = Annotated[str | None, at_or_after("rejected")]
Until = Annotated[str | None, before("rejected")]
Limit = Annotated[int, per_page("Records")]
RejectedId = Annotated[
    str,
    Path(
        description="The id, percent-encoded: its slashes are sent as %2F.",
        openapi_examples=choices(of_a_worker="records.b%2F0%2F4711"),
    ),
]


@reading.get(
    "/v1/rejected",
    summary="List the rejected records",
    description="What ingest refused and what a worker could not take, the newest first, without their bytes. They are "
    "kept for 30 days, or as long as the settings say.",
    responses=answers(
        200,
        "A page.",
        RejectedPage,
        "invalid_cursor",
        "not_yet",
        "unavailable",
        examples=["rejected_page", "no_rejected"],
    ),
)
async def list_rejected(  # noqa: PLR0913  # one for each query parameter
    request: Request,
    *,
    stream: InStream = None,
    code: WithCode = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    parts = parts_of(request)
    walk = RejectedWalk(stream, code, parse_since(since), parse_since(until, "until"))
    after = parts.cursors.after(walk, cursor)
    found = await parts.rejected.page(walk, after, limit + 1)
    items, next_cursor = parts.cursors.cut(walk, found, limit, lambda one: Place(one.rejected_at, one.id))
    return encoded(RejectedPage(items=[view_rejected(one) for one in items], next_cursor=next_cursor))


@reading.get(
    "/v1/rejected/{rejected_id}",
    summary="Look at a rejected record",
    description="Its bytes as they came, and why it was refused.",
    responses=answers(
        200,
        "The rejected record.",
        RejectedWhole,
        "not_found",
        "not_yet",
        "unavailable",
        examples=["rejected_record"],
    ),
)
async def get_rejected(request: Request, rejected_id: RejectedId) -> Response:
    id_ = decoded_id(rejected_id)
    found = (await parts_of(request).rejected.find([id_])).get(id_)
    if found is None:
        raise Refused("not_found", f"There is no rejected record {id_[:100]!r}, or no longer.")
    return encoded(view_whole(found))


@writing.post(
    "/v1/rejected/replay",
    summary="Replay rejected records",
    description="Put rejected records into the log after all: as they came, or others in their place. Unless `dry_run` "
    "is false, the answer only says what would be accepted, and why the rest would not; the rules are those of ingest. "
    "A rejected record is replayed once: asking again says so and writes nothing. A record that names no event time "
    "gets the moment of its rejection, so that what was sent since stays newer.",
    openapi_extra=takes(ReplayRequest, examples=["dry_run", "mended"]),
    responses=answers(
        200,
        "What became of each, or would.",
        ReplayAnswer,
        *BODY,
        "unavailable",
        examples=["acceptable", "replayed"],
    ),
)
async def replay_rejected(request: Request) -> Response:
    wanted = await read_json(request, ReplayRequest, limit_bytes=_LIMIT_BYTES)
    replays, replacements = parts_of(request).replays, _replacements(wanted)
    if wanted.dry_run:
        items = await replays.rehearse(replacements)
    else:
        items = await replays.replay(replacements, caller_of(request).id)
    return encoded(ReplayAnswer(dry_run=wanted.dry_run, items=items))


def _replacements(wanted: ReplayRequest) -> Replacements:
    replacements: dict[str, list[bytes] | None] = {}
    for index, item in enumerate(wanted.items):
        if item.id in replacements:
            at, detail = f"body.items[{index}].id", f"{item.id[:100]!r} stands there twice: name each id once."
            raise Refused("invalid_body", f"{at}: {detail}", errors=[{"at": at, "detail": detail}])
        replacements[item.id] = None if item.records is None else [bytes(record) for record in item.records]
    return replacements
