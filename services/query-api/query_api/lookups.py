"""The lookups: a record by its id, many at once, and the B of an A."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field

from common.contracts import ID_SCHEMA, Scope, Stream
from common.errors import Refused
from common.http.auth import requires
from common.http.bodies import encoded, read_json
from common.http.direct import Direct
from common.http.parameters import misfit, only_known_parameters
from common.http.paths import decoded_id
from query_api.documentation import BODY, answers, choices, takes
from query_api.examples import CURSOR
from query_api.ids import problem_of_id
from query_api.parts import parts_of
from query_api.views import AFound, ARecord, BFound, BPage, BRecord, Lookup, view, view_b
from query_api.waiting import documents_waited_for
from query_api.walks import Order, Place, Walk, parse_since

MAX_LIMIT: Final = 1000
_LIMIT_BYTES: Final = 4 * 1024 * 1024  # a thousand of the longest ids, every character escaped, take 3 MiB

router = APIRouter(
    route_class=Direct,
    tags=["lookups"],
    dependencies=[Depends(requires(Scope.READ)), Depends(only_known_parameters), Depends(documents_waited_for)],
)

PathId = Annotated[
    str,
    Path(
        description="The id, percent-encoded: a slash is sent as %2F, a percent sign as %25. Most clients drop an id "
        "of one or two dots from a path before they send it: look such a one up with POST.",
        openapi_examples=choices(plain="a-1", with_a_slash="eu%2Fa-1"),
        json_schema_extra=ID_SCHEMA,
    ),
]
Limit = Annotated[
    int,
    Query(
        ge=1,
        le=MAX_LIMIT,
        description="Records per page.",
        openapi_examples=choices(the_default=100, as_many_as_possible=MAX_LIMIT),
    ),
]
Cursor = Annotated[
    str | None,
    Query(
        description="`next_cursor` of the page before, to read on from there: with the same id, order and since.",
        openapi_examples=choices(the_next_page=CURSOR),
    ),
]
Since = Annotated[
    Annotated[str, Field(json_schema_extra={"format": "instant"})] | None,
    Query(
        description="Only records with an event time at or after it: RFC 3339 with an offset, or epoch milliseconds.",
        openapi_examples=choices(from_a_moment_on="2026-11-23T08:00:00Z", in_milliseconds="1795420800000"),
    ),
]
InOrder = Annotated[
    Order,
    Query(
        description="`time`: newest first, equal times by id; a record that is refreshed while one reads on moves to "
        "the front. `id`: by id; a walk that no refresh disturbs, and the one to read all of them.",
        openapi_examples=choices(newest_first="time", all_of_them="id"),
    ),
]


@router.get(
    "/v1/a/{record_id}",
    summary="Look up an A",
    description="The newest version of the A with this id.",
    responses=answers(200, "The A.", ARecord, "not_found", "not_yet", "unavailable", examples=["an_a"]),
)
async def get_a(request: Request, record_id: PathId) -> Response:
    return await _single(request, Stream.A, record_id)


@router.get(
    "/v1/b/{record_id}",
    summary="Look up a B",
    description="The newest version of the B with this id.",
    responses=answers(200, "The B.", BRecord, "not_found", "not_yet", "unavailable", examples=["a_b"]),
)
async def get_b(request: Request, record_id: PathId) -> Response:
    return await _single(request, Stream.B, record_id)


@router.get(
    "/v1/a/{record_id}/b",
    summary="The B of an A",
    description="The B whose newest version names this A, page by page. An A that has none, or has not arrived yet, "
    "has an empty page: B may come before their A.",
    responses=answers(
        200,
        "A page.",
        BPage,
        "invalid_cursor",
        "not_yet",
        "unavailable",
        examples=["more_to_come", "the_last_page", "no_b"],
    ),
)
async def children(  # noqa: PLR0913  # one for each query parameter
    request: Request,
    *,
    record_id: PathId,
    limit: Limit = 100,
    cursor: Cursor = None,
    since: Since = None,
    order: InOrder = Order.TIME,
) -> Response:
    parts = parts_of(request)
    walk = Walk(checked_id(record_id), order, parse_since(since))
    after = parts.cursors.after(walk, cursor)
    found = await parts.store.children(walk, after, limit + 1)
    items, next_cursor = parts.cursors.cut(walk, found, limit, lambda one: Place(one.event_time, one.id))
    return encoded(BPage(items=[view_b(record) for record in items], next_cursor=next_cursor))


@router.post(
    "/v1/a/lookup",
    summary="Look up many A",
    description="The A with these ids, in their order, null where there is none; up to 1,000 at once.",
    openapi_extra=takes(Lookup, examples=["ids_of_a"]),
    responses=answers(
        200, "An A or null for each id.", AFound, *BODY, "not_yet", "unavailable", examples=["one_a_found"]
    ),
)
async def lookup_a(request: Request) -> Response:
    return await _bulk(request, Stream.A)


@router.post(
    "/v1/b/lookup",
    summary="Look up many B",
    description="The B with these ids, in their order, null where there is none; up to 1,000 at once.",
    openapi_extra=takes(Lookup, examples=["ids_of_b"]),
    responses=answers(
        200, "A B or null for each id.", BFound, *BODY, "not_yet", "unavailable", examples=["one_b_found"]
    ),
)
async def lookup_b(request: Request) -> Response:
    return await _bulk(request, Stream.B)


async def _single(request: Request, stream: Stream, encoded_id: str) -> Response:
    id_ = checked_id(encoded_id)
    record = await parts_of(request).single[stream].get(id_)
    if record is None:
        raise Refused("not_found", f"There is no record of stream {stream.upper()} with the id {id_!r}.")
    return encoded(view(record))


async def _bulk(request: Request, stream: Stream) -> Response:
    lookup = await read_json(request, Lookup, limit_bytes=_LIMIT_BYTES)
    ids = [str(id_) for id_ in lookup.ids]
    _check_all(ids)
    found = await parts_of(request).store.find(stream, ids)
    return encoded({"items": [view(found[id_]) if id_ in found else None for id_ in ids]})


def checked_id(encoded_id: str) -> str:
    """An id out of a path.

    Raises:
        Refused: invalid_parameter; no record can have it.
    """
    id_ = decoded_id(encoded_id)
    if problem := problem_of_id(id_):
        raise misfit("path.record_id", f"{problem}.")
    return id_


def _check_all(ids: list[str]) -> None:
    problems = {f"body.ids[{n}]": problem for n, id_ in enumerate(ids) if (problem := problem_of_id(id_))}
    if problems:
        at, problem = next(iter(problems.items()))
        raise Refused(
            "invalid_body", f"{at}: {problem}.", errors=[{"at": at, "detail": what} for at, what in problems.items()]
        )
