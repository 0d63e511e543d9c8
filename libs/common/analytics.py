"""What query-api and the lake's jobs agree on: queries in SQL that run as jobs, and where their results are.

query-api stores a `StoredJob`; the lake's jobs take it, run it and write its result as pages, files that query-api
hands out as they are. Whatever happens to a job is told in its document, by compare-and-set on its state.
"""

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from common.settings import ResultSettings

JOBS: Final = "analytics_jobs"  # collections
SAVED: Final = "analytics_saved"


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN: Final = (JobState.QUEUED, JobState.RUNNING)
"""The states from which a job still moves."""


class Format(StrEnum):
    """How a result's pages are written."""

    JSON = "json"
    ARROW = "arrow"
    PARQUET = "parquet"
    CSV = "csv"


class Column(msgspec.Struct, kw_only=True, frozen=True):
    """A column of a result, by the name and Arrow's type."""

    name: str
    type: str


class StoredJob(msgspec.Struct, kw_only=True):
    """A query as it stands in MongoDB."""

    id: str = msgspec.field(name="_id")
    key_id: str
    sql: str
    parameters: str
    """JSON, as they were sent: MongoDB has no integer as wide, and a driver gives back others than it was given."""
    format: Format
    max_rows: int
    max_bytes: int
    page_rows: int
    timeout_seconds: float
    request_sha256: str  # tells a repetition under the same Idempotency-Key from another query
    asked_snapshots: dict[str, int | None] | None = None
    """The tables' snapshots that it is to read; None: the newest."""
    state: JobState = JobState.QUEUED
    created_at: int  # ms since the epoch, as all below
    started_at: int | None = None
    finished_at: int | None = None
    worker: str | None = None
    beat_at: int | None = None
    """When its worker last said that it is at it."""
    progress: float | None = None
    snapshots: dict[str, int | None] | None = None
    columns: list[Column] | None = None
    rows: int | None = None
    bytes: int | None = None
    pages: int | None = None
    truncated: bool | None = None
    error_code: str | None = None  # one of common.problems.QUERY
    error_detail: str | None = None
    expires: datetime  # MongoDB deletes it then


class StoredQuery(msgspec.Struct, kw_only=True):
    """A query with a name, for everyone with the scope analytics."""

    name: str = msgspec.field(name="_id")
    sql: str
    description: str
    saved_by: str  # the key's name
    saved_at: int  # ms since the epoch


def results_of(settings: ResultSettings) -> Path:
    """The folder of all results."""
    return Path(settings.lake_results).expanduser().absolute()


def page_path(results: Path, job_id: str, page: int) -> Path:
    """Where a page of a result is; the first is 0."""
    return results / job_id / str(page)
