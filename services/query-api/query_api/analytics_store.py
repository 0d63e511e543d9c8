"""Jobs and saved queries in MongoDB; like `store`, the importer of its driver."""

from datetime import datetime
from typing import Any, Final

import msgspec
from bson.int64 import Int64
from pymongo import ASCENDING, DESCENDING, WriteConcern
from pymongo.errors import DuplicateKeyError

from common.analytics import JOBS, OPEN, SAVED, JobState, StoredJob, StoredQuery
from query_api.store import Store, translated
from query_api.walks import Place

_SORT: Final = [("created_at", DESCENDING), ("_id", ASCENDING)]


class AnalyticsStore:
    """What query-api says of jobs, and hears of them."""

    def __init__(self, store: Store) -> None:
        majority = WriteConcern("majority", j=True)
        self._jobs = store.database.get_collection(JOBS, write_concern=majority)
        self._saved = store.database.get_collection(SAVED, write_concern=majority)

    async def add(self, job: StoredJob) -> StoredJob:
        """Keep `job`; the one of its id that is there already, if there is one.

        Raises:
            TryLater: MongoDB is away or overloaded.
        """
        with translated("add_job"):
            try:
                await self._jobs.insert_one(_document(job))
            except DuplicateKeyError:
                return await self._of(job.id) or job
        return job

    async def find(self, job_id: str, key_id: str) -> StoredJob | None:
        """A job of this key.

        Raises:
            TryLater: MongoDB is away or overloaded.
        """
        with translated("find_job"):
            job = await self._of(job_id)
        return job if job is not None and job.key_id == key_id else None

    async def page(self, key_id: str, after: Place | None, limit: int) -> list[StoredJob]:
        """Up to `limit` jobs of a key behind the place `after`, the newest first.

        Raises:
            TryLater: MongoDB is away or overloaded.
        """
        queries: list[dict[str, Any]] = [{"key_id": key_id}]
        if after is not None:
            then = {"key_id": key_id, "created_at": after.event_time, "_id": {"$gt": after.id}}
            queries = [then, {"key_id": key_id, "created_at": {"$lt": after.event_time}}]
        found: list[dict[str, Any]] = []
        with translated("jobs"):
            for query in queries:
                found += await self._jobs.find(query, sort=_SORT, limit=limit - len(found)).to_list()
                if len(found) == limit:
                    break
        return msgspec.convert(found, list[StoredJob])

    async def open(self, key_id: str) -> tuple[int, int]:
        """How many jobs wait or run: in all, and of this key.

        Raises:
            TryLater: MongoDB is away or overloaded.
        """
        states = {"state": {"$in": list(OPEN)}}
        with translated("open_jobs"):
            return await self._jobs.count_documents(states), await self._jobs.count_documents(
                {**states, "key_id": key_id}
            )

    async def cancel(self, job_id: str, now_ms: int) -> None:
        """Let a job be cancelled, if it has not come to an end.

        Raises:
            TryLater: it may or may not be.
        """
        with translated("cancel_job"):
            await self._jobs.update_one(
                {"_id": job_id, "state": {"$in": list(OPEN)}},
                {"$set": {"state": JobState.CANCELLED, "finished_at": Int64(now_ms)}},
            )

    async def save(self, query: StoredQuery) -> None:
        """Keep a query under its name, in place of the one that has it.

        Raises:
            TryLater: it may or may not be kept.
        """
        with translated("save_query"):
            await self._saved.replace_one({"_id": query.name}, _document(query), upsert=True)

    async def saved(self, name: str) -> StoredQuery | None:
        """The query of a name.

        Raises:
            TryLater: MongoDB is away or overloaded.
        """
        with translated("saved_query"):
            found = await self._saved.find_one({"_id": name})
        return None if found is None else msgspec.convert(found, StoredQuery)

    async def all_saved(self) -> list[StoredQuery]:
        """All saved queries, by name.

        Raises:
            TryLater: MongoDB is away or overloaded.
        """
        with translated("saved_queries"):
            found = await self._saved.find({}, sort=[("_id", ASCENDING)]).to_list()
        return msgspec.convert(found, list[StoredQuery])

    async def forget(self, name: str) -> None:
        """Delete the query of a name.

        Raises:
            TryLater: it may or may not be gone.
        """
        with translated("forget_query"):
            await self._saved.delete_one({"_id": name})

    async def _of(self, job_id: str) -> StoredJob | None:
        found = await self._jobs.find_one({"_id": job_id})
        return None if found is None else msgspec.convert(found, StoredJob)


def _document(value: msgspec.Struct) -> dict[str, Any]:
    """As MongoDB keeps it: moments as its dates, times of ours as int64."""
    document: dict[str, Any] = msgspec.to_builtins(value, builtin_types=(datetime,))
    for name in ("created_at", "saved_at"):
        if name in document:
            document[name] = Int64(document[name])
    if isinstance(document.get("asked_snapshots"), dict):
        asked = document["asked_snapshots"].items()
        document["asked_snapshots"] = {name: None if one is None else Int64(one) for name, one in asked}
    return document
