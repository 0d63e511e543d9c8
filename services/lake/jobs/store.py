"""Jobs in MongoDB, as the process that runs them sees them: the only importer of its driver here.

A job moves from one state to the next by compare-and-set, so that two processes never run one, and a cancellation that
comes in between is noticed.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import pymongo
from bson.errors import BSONError
from bson.int64 import Int64
from pymongo import ASCENDING, DESCENDING, IndexModel, ReturnDocument, WriteConcern
from pymongo.errors import ConfigurationError, PyMongoError

from common import metrics
from common.analytics import JOBS, JobState, StoredJob
from common.errors import CannotStart, TryLater
from common.mongo import check_mongo, client_of
from common.settings import MongoSettings

SERVICE: Final = "lake-jobs"

_INDEXES: Final = [
    IndexModel([("state", ASCENDING), ("created_at", ASCENDING)]),
    IndexModel([("key_id", ASCENDING), ("created_at", DESCENDING)]),
    IndexModel([("expires", ASCENDING)], expireAfterSeconds=0),
]
_LOOKED_AT: Final = 200
_FAREWELL_S: Final = 1


class JobStore:
    """Takes jobs, says how they do, and what became of them."""

    def __init__(self, settings: MongoSettings, worker: str) -> None:
        self._settings = settings
        self._client = client_of(settings, SERVICE)
        database = self._client.get_database(settings.mongo_database, write_concern=WriteConcern("majority", j=True))
        self._jobs = database[JOBS]
        self._worker = worker

    async def close(self) -> None:
        with pymongo.timeout(_FAREWELL_S):
            await self._client.close()

    async def prepare(self) -> None:
        """Make the indexes that are missing.

        Raises:
            TryLater: MongoDB is away.
            CannotStart: MongoDB does not let us in.
        """
        await check_mongo(self._client, self._settings)
        with _translated("prepare"):
            await self._jobs.create_indexes(_INDEXES)

    async def take(self, now_ms: int, per_key: int) -> StoredJob | None:
        """The oldest job that waits and whose key has fewer than `per_key` running, now running here.

        Raises:
            TryLater: MongoDB is away.
        """
        with _translated("take"):
            waiting = (
                await self._jobs.find({"state": JobState.QUEUED}, {"key_id": 1}, limit=_LOOKED_AT)
                .sort("created_at", ASCENDING)
                .to_list()
            )
            running: dict[str, int] = {}
            for job in waiting:
                key = job["key_id"]
                if key not in running:
                    running[key] = await self._jobs.count_documents({"key_id": key, "state": JobState.RUNNING})
                if running[key] < per_key:
                    taken = await self._jobs.find_one_and_update(
                        {"_id": job["_id"], "state": JobState.QUEUED},
                        {"$set": self._running(now_ms)},
                        return_document=ReturnDocument.AFTER,
                    )
                    if taken is not None and await self._may_run(taken, per_key):
                        return msgspec.convert(taken, StoredJob)
        return None

    async def _may_run(self, job: dict[str, Any], per_key: int) -> bool:
        """Put a job back where another worker took one of its key in the same moment: whoever was last sees both."""
        running = {"key_id": job["key_id"], "state": JobState.RUNNING}
        if await self._jobs.count_documents(running) <= per_key:
            return True
        where = {"_id": job["_id"], "state": JobState.RUNNING, "worker": self._worker}
        await self._jobs.update_one(where, {"$set": {"state": JobState.QUEUED, "worker": None}})
        return False

    async def beat(self, job_id: str, now_ms: int, progress: float | None) -> bool:
        """Say that the job is still at work; False when it is not ours to run any more.

        Raises:
            TryLater: MongoDB is away.
        """
        return await self._change(job_id, {"beat_at": now_ms, "progress": progress})

    async def finish(self, job_id: str, fields: dict[str, Any]) -> bool:
        """Say what became of it; False when it is not ours any more.

        Raises:
            TryLater: it may or may not be noted.
        """
        return await self._change(job_id, fields)

    async def release(self, before_ms: int | None = None) -> int:
        """Let jobs run elsewhere: all of ours, or those whose worker has said nothing since `before_ms`.

        Raises:
            TryLater: MongoDB is away.
        """
        whose = {"worker": self._worker} if before_ms is None else {"beat_at": {"$lt": before_ms}}
        with _translated("release"):
            changed = await self._jobs.update_many(
                {"state": JobState.RUNNING, **whose}, {"$set": {"state": JobState.QUEUED, "worker": None}}
            )
        return changed.modified_count

    async def known(self, job_ids: list[str]) -> set[str]:
        """Those of `job_ids` that there are.

        Raises:
            TryLater: MongoDB is away.
        """
        with _translated("known"):
            found = await self._jobs.find({"_id": {"$in": job_ids}}, {"_id": 1}).to_list()
        return {job["_id"] for job in found}

    def _running(self, now_ms: int) -> dict[str, Any]:
        now = Int64(now_ms)
        return {"state": JobState.RUNNING, "worker": self._worker, "started_at": now, "beat_at": now, "progress": None}

    async def _change(self, job_id: str, fields: dict[str, Any]) -> bool:
        where = {"_id": job_id, "state": JobState.RUNNING, "worker": self._worker}
        with _translated("change"):
            result = await self._jobs.update_one(where, {"$set": _wide(fields)})
        return result.matched_count == 1


def _wide(value: Any) -> Any:
    """The same with every integer as an int64."""
    if isinstance(value, dict):
        return {name: _wide(one) for name, one in value.items()}
    return Int64(value) if isinstance(value, int) and not isinstance(value, bool) else value


@contextmanager
def _translated(operation: str) -> Iterator[None]:
    """Time an operation and turn the driver's exceptions into ours.

    Raises:
        CannotStart: the configuration does not fit.
        TryLater: anything else.
    """
    started = time.perf_counter()
    try:
        yield
    except ConfigurationError as error:
        raise CannotStart(f"MongoDB refused {operation}: {error}") from error
    except (PyMongoError, BSONError) as error:
        raise TryLater(f"MongoDB did not take part in {operation}: {type(error).__name__}") from error
    finally:
        metrics.STORE_SECONDS.labels(SERVICE, operation).observe(time.perf_counter() - started)
