"""The examples of queries in SQL in the OpenAPI document."""

from typing import Final

import msgspec

from common.analytics import Column, Format, JobState
from query_api.analytics_views import (
    Query,
    QueryError,
    QueryPage,
    QueryRequest,
    QueryResult,
    SavedPage,
    SavedQuery,
    SavedRequest,
)

_CURSOR: Final = "AYzDnLAXXg3q5Ks7i8S34OVbMTc5NTQzNTIwMDAwMCwiYi0xIl0"
_SQL: Final = "select Stream_A_unique_identifier, count(*) n from b group by 1 order by n desc limit 10"
_SNAPSHOTS: Final = {"a_log": None, "a_latest": None, "b_log": "5081379410256921937", "b_latest": None}
_COLUMNS: Final = [Column(name="Stream_A_unique_identifier", type="string"), Column(name="n", type="int64")]
_QUEUED: Final = Query(
    id="0af7651916cd43dd8448eb211c80319c",
    state=JobState.QUEUED,
    sql=_SQL,
    parameters=[],
    format=Format.JSON,
    created_at="2026-11-23T08:00:00.000Z",
    started_at=None,
    finished_at=None,
    progress=None,
    snapshots=None,
    columns=None,
    rows=None,
    bytes=None,
    pages=None,
    truncated=None,
    error=None,
)
_DONE: Final = msgspec.structs.replace(
    _QUEUED,
    state=JobState.SUCCEEDED,
    started_at="2026-11-23T08:00:00.210Z",
    finished_at="2026-11-23T08:00:01.480Z",
    progress=1.0,
    snapshots=_SNAPSHOTS,
    columns=_COLUMNS,
    rows=1,
    bytes=12,
    pages=1,
    truncated=False,
)
_FAILED: Final = msgspec.structs.replace(
    _QUEUED,
    state=JobState.FAILED,
    started_at="2026-11-23T08:00:00.210Z",
    finished_at="2026-11-23T08:01:00.310Z",
    progress=0.4,
    snapshots=_SNAPSHOTS,
    error=QueryError(code="query_timeout", detail="It took longer than 60 seconds."),
)
_SAVED: Final = SavedQuery(
    name="top-a", sql=_SQL, description="The A with most B.", saved_by="reports", saved_at="2026-11-23T08:00:00.000Z"
)

ANALYTICS_EXAMPLES: Final[dict[str, msgspec.Struct]] = {
    "query_request": QueryRequest(sql="select count(*) n from b where number > $least", parameters={"least": 100}),
    "saved_query_request": QueryRequest(saved="top-a", format=Format.CSV),
    "queued_query": _QUEUED,
    "done_query": _DONE,
    "failed_query": _FAILED,
    "cancelled_query": msgspec.structs.replace(
        _QUEUED, state=JobState.CANCELLED, finished_at="2026-11-23T08:00:00.420Z"
    ),
    "queries": QueryPage(items=[_DONE, _FAILED], next_cursor=_CURSOR),
    "query_result": QueryResult(
        columns=_COLUMNS, rows=[["a-1", 1234]], snapshots=_SNAPSHOTS, truncated=False, next_page=None
    ),
    "save_request": SavedRequest(sql=_SQL, description="The A with most B."),
    "saved_query": _SAVED,
    "saved_queries": SavedPage(items=[_SAVED], next_cursor=None),
}
