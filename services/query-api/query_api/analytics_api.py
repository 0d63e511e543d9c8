"""Queries in SQL over HTTP, for keys with the scope analytics: asked, watched, cancelled, their results read."""

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from common.analytics import Format, StoredJob
from common.contracts import Scope
from common.http.auth import caller_of, requires
from common.http.bodies import encoded, read_json
from common.http.parameters import only_known_parameters
from query_api.analytics_views import Query as QueryView
from query_api.analytics_views import (
    QueryPage,
    QueryRequest,
    QueryResult,
    SavedPage,
    SavedQuery,
    SavedRequest,
    view_query,
    view_saved,
    view_snapshots,
)
from query_api.documentation import BODY, answers, choices, takes
from query_api.pages import Cursor, per_page
from query_api.parts import parts_of
from query_api.walks import JobWalk, Place

_LIMIT_BYTES: Final = 1024 * 1024
_MEDIA_TYPES: Final = {
    Format.JSON: "application/json",
    Format.ARROW: "application/vnd.apache.arrow.stream",
    Format.PARQUET: "application/vnd.apache.parquet",
    Format.CSV: "text/csv; charset=utf-8",
}

router = APIRouter(
    tags=["analytics"], dependencies=[Depends(requires(Scope.ANALYTICS)), Depends(only_known_parameters)]
)

QueryId = Annotated[
    str, Path(description="The query's id.", openapi_examples=choices(a_query="0af7651916cd43dd8448eb211c80319c"))
]
Name = Annotated[
    str,
    Path(
        description="The name of the saved query.",
        pattern=r"^[a-z][a-z0-9_-]{0,63}$",
        openapi_examples=choices(one="top-a"),
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        description="Asked again under the same key, a query is not run twice.",
        openapi_examples=choices(one="3c5bfb3d-6f2c-4a4b"),
    ),
]
Limit = Annotated[int, per_page("Queries")]
PageNumber = Annotated[
    int, Query(ge=0, description="Which page of the result; the first is 0.", openapi_examples=choices(the_first=0))
]


@router.post(
    "/v1/analytics/queries",
    status_code=202,
    summary="Ask a query",
    description="One SELECT over the lake's tables, run apart from everything else, as soon as its turn comes. "
    "`Location` in the answer tells where it can be watched.",
    openapi_extra=takes(QueryRequest, examples=["query_request", "saved_query_request"]),
    responses=answers(
        202,
        "The query waits, or, under a known Idempotency-Key, is as far as it is.",
        QueryView,
        *BODY,
        "not_found",
        "idempotency_key_invalid",
        "idempotency_key_reused",
        "overloaded",
        "unavailable",
        examples=["queued_query"],
    ),
)
async def ask_query(request: Request, idempotency_key: IdempotencyKey = None) -> Response:
    wanted = await read_json(request, QueryRequest, limit_bytes=_LIMIT_BYTES)
    job = await parts_of(request).queries.ask(caller_of(request), wanted, idempotency_key)
    return encoded(view_query(job), 202, {"Location": f"/v1/analytics/queries/{job.id}"})


@router.get(
    "/v1/analytics/queries",
    summary="List your queries",
    description="Those that this key asked within the last 30 days, the newest first.",
    responses=answers(200, "A page.", QueryPage, "invalid_cursor", "unavailable", examples=["queries"]),
)
async def list_queries(request: Request, *, limit: Limit = 100, cursor: Cursor = None) -> Response:
    parts, walk = parts_of(request), JobWalk(caller_of(request).id)
    after = parts.cursors.after(walk, cursor)
    found = await parts.analytics.page(walk.key_id, after, limit + 1)
    items, next_cursor = parts.cursors.cut(walk, found, limit, lambda one: Place(one.created_at, one.id))
    return encoded(QueryPage(items=[view_query(job) for job in items], next_cursor=next_cursor))


@router.get(
    "/v1/analytics/queries/{query_id}",
    summary="Watch a query",
    description="Its state, how far it is, the snapshots it reads, and why it failed if it did.",
    responses=answers(
        200, "The query.", QueryView, "not_found", "unavailable", examples=["done_query", "failed_query"]
    ),
)
async def get_query(request: Request, query_id: QueryId) -> Response:
    return encoded(view_query(await parts_of(request).queries.find(caller_of(request), query_id)))


@router.delete(
    "/v1/analytics/queries/{query_id}",
    summary="Cancel a query",
    description="It ends within a second or two; one that has come to an end stays as it is.",
    responses=answers(200, "The query.", QueryView, "not_found", "unavailable", examples=["cancelled_query"]),
)
async def cancel_query(request: Request, query_id: QueryId) -> Response:
    return encoded(view_query(await parts_of(request).queries.cancel(caller_of(request), query_id)))


_RESULT = answers(
    200,
    "A page, in the format that the query was asked with; `Link` leads to the next one.",
    QueryResult,
    "not_found",
    "query_not_done",
    "query_without_result",
    "result_gone",
    "unavailable",
    examples=["query_result"],
)
_BINARY: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}
_RESULT[200]["content"] |= {
    media_type.partition(";")[0]: _BINARY for kind, media_type in _MEDIA_TYPES.items() if kind is not Format.JSON
}


@router.get(
    "/v1/analytics/queries/{query_id}/result",
    summary="Read a result",
    description="Page by page, as JSON, Arrow, Parquet or CSV. A page of Arrow or Parquet is complete in itself; those "
    "of CSV, one after the other, make one file. Results are kept for a day, or as long as the settings say.",
    responses=_RESULT,
)
async def get_result(request: Request, query_id: QueryId, page: PageNumber = 0) -> Response:
    queries = parts_of(request).queries
    job = await queries.find(caller_of(request), query_id)
    body = await queries.page(job, page)
    more = page + 1 < (job.pages or 0)
    headers = {"Link": f'</v1/analytics/queries/{job.id}/result?page={page + 1}>; rel="next"'} if more else {}
    if job.format is Format.JSON:
        body = _wrapped(job, body, page + 1 if more else None)
    return Response(body, 200, headers, _MEDIA_TYPES[job.format])


def _wrapped(job: StoredJob, rows: bytes, next_page: int | None) -> bytes:
    """The rows as they were written, with what tells them; they are not read here."""
    return msgspec.json.encode(
        {
            "columns": job.columns,
            "rows": msgspec.Raw(rows),
            "snapshots": view_snapshots(job),
            "truncated": job.truncated,
            "next_page": next_page,
        }
    )


@router.get(
    "/v1/analytics/saved",
    summary="List the saved queries",
    description="All of them, by name; every key with the scope analytics sees the same.",
    responses=answers(200, "The saved queries.", SavedPage, "unavailable", examples=["saved_queries"]),
)
async def list_saved(request: Request) -> Response:
    found = await parts_of(request).analytics.all_saved()
    return encoded(SavedPage(items=[view_saved(query) for query in found], next_cursor=None))


@router.get(
    "/v1/analytics/saved/{name}",
    summary="Look at a saved query",
    description="What it asks, and who saved it when.",
    responses=answers(200, "The saved query.", SavedQuery, "not_found", "unavailable", examples=["saved_query"]),
)
async def get_saved(request: Request, name: Name) -> Response:
    return encoded(view_saved(await parts_of(request).queries.saved(name)))


@router.put(
    "/v1/analytics/saved/{name}",
    summary="Save a query",
    description="Under a name, in place of the one that has it. It is not run: that is asked with `saved`.",
    openapi_extra=takes(SavedRequest, examples=["save_request"]),
    responses=answers(200, "The saved query.", SavedQuery, *BODY, "unavailable", examples=["saved_query"]),
)
async def save_query(request: Request, name: Name) -> Response:
    wanted = await read_json(request, SavedRequest, limit_bytes=_LIMIT_BYTES)
    return encoded(view_saved(await parts_of(request).queries.save(caller_of(request), name, wanted)))


@router.delete(
    "/v1/analytics/saved/{name}",
    summary="Delete a saved query",
    description="Nobody can ask for it by its name from then on.",
    responses=answers(200, "The query as it was.", SavedQuery, "not_found", "unavailable", examples=["saved_query"]),
)
async def delete_saved(request: Request, name: Name) -> Response:
    return encoded(view_saved(await parts_of(request).queries.forget(name)))
