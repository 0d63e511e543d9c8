"""Queries in SQL: what becomes a job, what is refused, and the pages of results."""

import asyncio
import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from common.analytics import JobState, StoredJob, StoredQuery, page_path
from common.clock import Clock
from common.errors import Refused
from common.http.auth import Caller
from query_api.analytics_store import AnalyticsStore
from query_api.analytics_views import QueryRequest, SavedRequest

_KEPT: Final = timedelta(days=30)
_MAX_KEY_CHARACTERS: Final = 255
_MAX_PARAMETERS_BYTES: Final = 256 * 1024
_TABLES: Final = frozenset({"a_log", "a_latest", "b_log", "b_latest"})


class Queries:
    """Takes queries, as many as may wait, and finds them again for the key that asked."""

    def __init__(self, store: AnalyticsStore, results: Path, clock: Clock, *, most: int, most_per_key: int) -> None:
        self._store = store
        self._results = results
        self._clock = clock
        self._most = most
        self._most_per_key = most_per_key

    async def ask(self, key: Caller, wanted: QueryRequest, idempotency_key: str | None) -> StoredJob:
        """The job that `wanted` became, now or when it was asked under the same idempotency key.

        Raises:
            Refused: it does not fit, too many wait, or the idempotency key was another query's.
            TryLater: MongoDB is away.
        """
        job = self._job(key, wanted, await self._sql(wanted), _job_id(key, idempotency_key))
        former = await self._store.find(job.id, key.id) if idempotency_key is not None else None
        if former is None:
            await self._check_room(key)
            former = await self._store.add(job)
        if former.request_sha256 != job.request_sha256:
            raise Refused("idempotency_key_reused", "Another query was asked under this Idempotency-Key.")
        return former

    async def find(self, key: Caller, job_id: str) -> StoredJob:
        """A query of this key.

        Raises:
            Refused: not_found; there is none, or it is another key's.
            TryLater: MongoDB is away.
        """
        job = await self._store.find(job_id, key.id)
        if job is None:
            raise Refused("not_found", f"This key has asked no query {job_id!r}.")
        return job

    async def cancel(self, key: Caller, job_id: str) -> StoredJob:
        """The query, cancelled unless it has come to an end.

        Raises:
            Refused: not_found.
            TryLater: MongoDB is away.
        """
        await self.find(key, job_id)
        await self._store.cancel(job_id, self._clock.now_ms())
        return await self.find(key, job_id)

    async def page(self, job: StoredJob, number: int) -> bytes:
        """A page of the result of `job`, as it was written.

        Raises:
            Refused: it has none, has no such page, or has it no more.
        """
        if job.state in (JobState.QUEUED, JobState.RUNNING):
            raise Refused("query_not_done", f"The query is {job.state}: ask again in a while.")
        if job.state is not JobState.SUCCEEDED:
            raise Refused("query_without_result", f"The query {job.state}: it has no result.")
        if number >= (job.pages or 0):
            raise Refused("not_found", f"The result has {job.pages} pages, the first is 0.")
        try:
            return await asyncio.to_thread(page_path(self._results, job.id, number).read_bytes)
        except FileNotFoundError:
            raise Refused("result_gone", "The result has been deleted: ask the query again.") from None

    async def save(self, key: Caller, name: str, wanted: SavedRequest) -> StoredQuery:
        """Keep a query under a name.

        Raises:
            TryLater: MongoDB is away.
        """
        query = StoredQuery(
            name=name,
            sql=wanted.sql,
            description=wanted.description,
            saved_by=key.name,
            saved_at=self._clock.now_ms(),
        )
        await self._store.save(query)
        return query

    async def saved(self, name: str) -> StoredQuery:
        """The query of a name.

        Raises:
            Refused: not_found.
            TryLater: MongoDB is away.
        """
        query = await self._store.saved(name)
        if query is None:
            raise Refused("not_found", f"There is no saved query {name!r}.")
        return query

    async def forget(self, name: str) -> StoredQuery:
        """Delete the query of a name; returns it as it was.

        Raises:
            Refused: not_found.
            TryLater: MongoDB is away.
        """
        query = await self.saved(name)
        await self._store.forget(name)
        return query

    async def _sql(self, wanted: QueryRequest) -> str:
        if (wanted.sql is None) == (wanted.saved is None):
            raise _misfit("sql", "Give either `sql`, or `saved` with the name of a saved query.")
        return wanted.sql if wanted.sql is not None else (await self.saved(wanted.saved or "")).sql

    async def _check_room(self, key: Caller) -> None:
        waiting, own = await self._store.open(key.id)
        if own >= self._most_per_key:
            raise Refused("overloaded", f"This key has {own} queries that wait or run: let some of them end first.")
        if waiting >= self._most:
            raise Refused("overloaded", f"{waiting} queries wait or run: ask again in a while.")

    def _job(self, key: Caller, wanted: QueryRequest, sql: str, job_id: str) -> StoredJob:
        request = msgspec.json.encode(wanted, order="deterministic")
        parameters = msgspec.json.encode(wanted.parameters)
        if len(parameters) > _MAX_PARAMETERS_BYTES:
            raise _misfit("parameters", f"They are longer than {_MAX_PARAMETERS_BYTES:,} bytes.")
        now_ms = self._clock.now_ms()
        return StoredJob(
            id=job_id,
            key_id=key.id,
            sql=sql,
            parameters=parameters.decode(),
            format=wanted.format,
            max_rows=wanted.max_rows,
            max_bytes=wanted.max_bytes,
            page_rows=wanted.page_rows,
            timeout_seconds=wanted.timeout_seconds,
            request_sha256=hashlib.sha256(request).hexdigest(),
            asked_snapshots=_snapshots(wanted.snapshots),
            created_at=now_ms,
            expires=datetime.fromtimestamp(now_ms / 1000, UTC) + _KEPT,
        )


def _job_id(key: Caller, idempotency_key: str | None) -> str:
    if idempotency_key is None:
        return secrets.token_hex(16)
    if not 1 <= len(idempotency_key) <= _MAX_KEY_CHARACTERS:
        raise Refused("idempotency_key_invalid", "An Idempotency-Key has 1 to 255 characters.")
    return hashlib.sha256(f"{key.id}\0{idempotency_key}".encode()).hexdigest()[:32]


def _snapshots(asked: dict[str, str | None] | None) -> dict[str, int | None] | None:
    if asked is None:
        return None
    if not asked.keys() <= _TABLES:
        raise _misfit("snapshots", f"There are the tables {', '.join(sorted(_TABLES))}.")
    try:
        return {name: None if one is None else _snapshot(one) for name, one in asked.items()}
    except ValueError:
        raise _misfit("snapshots", "A snapshot is a number, written as a string.") from None


def _snapshot(written: str) -> int:
    number = int(written)
    if not -(2**63) <= number < 2**63:  # neither Iceberg nor MongoDB has one like that
        raise ValueError(written)
    return number


def _misfit(at: str, detail: str) -> Refused:
    return Refused("invalid_body", detail, errors=[{"at": f"body.{at}", "detail": detail}])
