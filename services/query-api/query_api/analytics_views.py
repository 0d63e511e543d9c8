"""Queries in SQL as they are asked and answered. OpenAPI's schemas come from here too."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from common.analytics import Column, Format, JobState, StoredJob, StoredQuery
from common.instants import rfc3339_ms

MAX_SQL_CHARACTERS: Final = 100_000
MAX_ROWS: Final = 10_000_000
MAX_BYTES: Final = 1024**3
MAX_PAGE_ROWS: Final = 100_000
MAX_SECONDS: Final = 3600
_BYTES: Final = 64 * 1024**2

_TIME: Final = {"format": "date-time"}

Sql = Annotated[
    str,
    Meta(
        description="One SELECT in DuckDB's SQL over the views a, b (the newest version of each id), a_latest, "
        "b_latest (the same, as of the last rebuild), a_log and b_log (every version ever received).",
        min_length=1,
        max_length=MAX_SQL_CHARACTERS,
        examples=["select Stream_A_unique_identifier, count(*) n from b group by 1 order by n desc limit 10"],
    ),
]
QueryName = Annotated[
    str,
    Meta(
        description="Lower-case letters, digits, - and _; begins with a letter.",
        pattern=r"^[a-z][a-z0-9_-]{0,63}$",
        examples=["top-a"],
    ),
]
Parameters = Annotated[
    list[Any] | dict[str, Any],
    Meta(description="Values for `?` or `$1` in their order, or for `$name` by name."),
]
ResultFormat = Annotated[Format, Meta(description="How the pages of the result are written.")]
Snapshots = Annotated[
    dict[str, str | None],
    Meta(
        description="The snapshot of each table: given back with another query, it reads the very same rows. Null: the "
        "table was empty.",
        examples=[{"b_log": "5081379410256921937", "b_latest": None}],
    ),
]
Moment = Annotated[str, Meta(examples=["2026-11-23T08:00:00.000Z"], extra_json_schema=_TIME)]


class QueryRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A query to be run: `sql`, or the name of one that was saved."""

    sql: Sql | None = None
    saved: QueryName | None = None
    parameters: Parameters = []
    format: ResultFormat = Format.JSON
    max_rows: Annotated[int, Meta(ge=1, le=MAX_ROWS, description="What is beyond it is left out.")] = 100_000
    max_bytes: Annotated[int, Meta(ge=1024, le=MAX_BYTES, description="Likewise, of the pages as written.")] = (
        64 * 1024**2
    )
    page_rows: Annotated[int, Meta(ge=1, le=MAX_PAGE_ROWS, description="Most rows of a page.")] = 10_000
    timeout_seconds: Annotated[
        float, Meta(gt=0, le=MAX_SECONDS, description="How long it may run before it is ended.")
    ] = 60.0
    snapshots: Snapshots | None = None


class QueryError(msgspec.Struct, kw_only=True):
    """Why a query failed."""

    code: Annotated[str, Meta(description="Stable, see docs/errors.md.", examples=["query_timeout"])]
    detail: Annotated[str, Meta(description="For people.")]


class Query(msgspec.Struct, kw_only=True):
    """A query and how it does."""

    id: str
    state: JobState
    sql: str
    parameters: list[Any] | dict[str, Any]
    format: Format
    created_at: Moment
    started_at: Annotated[str | None, Meta(extra_json_schema=_TIME)]
    finished_at: Annotated[str | None, Meta(extra_json_schema=_TIME)]
    progress: Annotated[float | None, Meta(description="The share of the work that is done, 0 to 1, by DuckDB.")]
    snapshots: Snapshots | None
    columns: list[Column] | None
    rows: int | None
    bytes: int | None
    pages: int | None
    truncated: Annotated[bool | None, Meta(description="Whether there was more than it was to answer.")]
    error: QueryError | None


class QueryPage(msgspec.Struct, kw_only=True):
    """Queries of the key that asks, the newest first."""

    items: list[Query]
    next_cursor: str | None


class QueryResult(msgspec.Struct, kw_only=True):
    """A page of a result in JSON."""

    columns: list[Column]
    rows: list[list[Any]]
    snapshots: Snapshots
    truncated: bool
    next_page: Annotated[int | None, Meta(description="The page that follows; null on the last.")]


class SavedRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A query to be kept under a name."""

    sql: Sql
    description: Annotated[str, Meta(max_length=1_000, description="For people.")] = ""


class SavedQuery(msgspec.Struct, kw_only=True):
    """A query with a name."""

    name: QueryName
    sql: str
    description: str
    saved_by: Annotated[str, Meta(description="The name of the key that saved it.")]
    saved_at: Moment


class SavedPage(msgspec.Struct, kw_only=True):
    """All saved queries, by name."""

    items: list[SavedQuery]
    next_cursor: None


SCHEMAS: Final = (QueryRequest, QueryPage, QueryResult, SavedRequest, SavedPage)


def view_query(job: StoredJob) -> Query:
    error = None if job.error_code is None else QueryError(code=job.error_code, detail=job.error_detail or "")
    return Query(
        id=job.id,
        state=job.state,
        sql=job.sql,
        parameters=msgspec.json.decode(job.parameters),
        format=job.format,
        created_at=rfc3339_ms(job.created_at),
        started_at=None if job.started_at is None else rfc3339_ms(job.started_at),
        finished_at=None if job.finished_at is None else rfc3339_ms(job.finished_at),
        progress=job.progress,
        snapshots=view_snapshots(job),
        columns=job.columns,
        rows=job.rows,
        bytes=job.bytes,
        pages=job.pages,
        truncated=job.truncated,
        error=error,
    )


def view_snapshots(job: StoredJob) -> dict[str, str | None] | None:
    """As strings: not every JSON reader keeps all digits of an int64."""
    if job.snapshots is None:
        return None
    return {name: None if one is None else str(one) for name, one in job.snapshots.items()}


def view_saved(query: StoredQuery) -> SavedQuery:
    return SavedQuery(
        name=query.name,
        sql=query.sql,
        description=query.description,
        saved_by=query.saved_by,
        saved_at=rfc3339_ms(query.saved_at),
    )
