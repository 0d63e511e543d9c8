"""Reading the stored records out of MongoDB: the only importer of its driver here, which translates its errors."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import msgspec
from bson.errors import BSONError
from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import InvalidName, InvalidOperation, PyMongoError

from common import metrics
from common.contracts import GENERATION_KEPT_S, STORED, Collections, StoredA, StoredB, Stream
from common.errors import TryLater
from common.mongo import check_mongo, client_of
from common.settings import MongoSettings
from query_api.walks import Order, Place, Walk

# SecantusDB's time for an $in grows with the square of its length: 1,000 ids took 0.9 s at once, 0.13 s by hundreds.
_IDS_PER_FIND: Final = 100
_WATCH_EVERY_S: Final = 1.0
_SORTS: Final = {
    Order.TIME: [("event_time", DESCENDING), ("_id", ASCENDING)],
    Order.ID: [("_id", ASCENDING)],
}

T = TypeVar("T")

Documents = AsyncCollection[dict[str, Any]]


class Store:
    """The stored records, read only."""

    def __init__(self, settings: MongoSettings) -> None:
        self._settings = settings
        self._client = client_of(settings, "query-api")
        self.database = self._client[settings.mongo_database]
        self._positions = self.database[Collections.POSITIONS]
        self._served: Mapping[Stream, int] = {}
        self._served_at = -math.inf
        self._problem: str | None = "MongoDB has not answered yet"

    async def close(self) -> None:
        await self._client.close()

    async def check(self) -> None:
        """Make sure at a start that MongoDB lets us in.

        Raises:
            CannotStart: it is there and does not.
            TryLater: it is away.
        """
        await check_mongo(self._client, self._settings)

    def problem(self) -> str | None:
        """Readiness: None while MongoDB answers `watch`."""
        return self._problem

    async def watch(self) -> None:
        """Ask MongoDB whether it is there, again and again, for as long as the process lives."""
        while True:
            try:
                await self._learn()
                self._problem = None
            except TryLater as error:
                self._problem = str(error)
            await asyncio.sleep(_WATCH_EVERY_S)

    async def _learn(self) -> None:
        """Ask which generation of documents answers for each stream."""
        asked_at = time.monotonic()
        with translated("generations"):
            found = await self.database[Collections.GENERATIONS].find().to_list()
        numbers = {document["_id"]: document["number"] for document in found}
        self._served, self._served_at = {stream: numbers.get(stream.value, 0) for stream in Stream}, asked_at

    async def _read(self, stream: Stream, read: Callable[[Documents], Awaitable[list[T]]]) -> list[T]:
        """What `read` finds in the collection that answers for `stream`.

        A rebuild leaves the former collection in place for a while. Whoever asked less than that ago may read in it; a
        process that stood still in between reads once more, in the one that has taken its place.
        """
        if time.monotonic() - self._served_at > _WATCH_EVERY_S * 2:
            await self._learn()
        while True:
            number, asked_at = self._served[stream], self._served_at
            found = await read(self.database[Collections.of(stream, number)])
            if time.monotonic() - asked_at < GENERATION_KEPT_S:
                return found
            await self._learn()

    async def find(self, stream: Stream, ids: Collection[str]) -> dict[str, StoredA]:
        """The records of `ids` by id; those that do not exist are left out.

        Raises:
            TryLater: MongoDB is away or overloaded.
        """
        distinct = list(dict.fromkeys(ids))
        parts = [distinct[start : start + _IDS_PER_FIND] for start in range(0, len(distinct), _IDS_PER_FIND)]
        with translated("find"):
            if len(parts) == 1:  # nearly always: one record, or a few that were asked for at the same time
                found = [await self._find(stream, parts[0])]
            else:
                found = await asyncio.gather(*(self._find(stream, part) for part in parts))
        # An id that was erased has a document without a record.
        documents = (one for part in found for one in part if "event_time" in one)
        return {one["_id"]: msgspec.convert(one, STORED[stream]) for one in documents}

    async def positions(self, names: Collection[str]) -> dict[str, int]:
        """The next offset that the documents will take in, by `position_id`; unknown ones are left out.

        Raises:
            TryLater: MongoDB is away or overloaded.
        """
        with translated("positions"):
            found = await self._positions.find({"_id": {"$in": list(names)}}).to_list()
        return {document["_id"]: document["offset"] for document in found}

    async def children(self, walk: Walk, after: Place | None, limit: int) -> list[StoredB]:
        """Up to `limit` B of `walk` that come after the place `after`, in the order of the walk.

        Raises:
            TryLater: MongoDB is away or overloaded.
        """

        async def read(documents: Documents) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            for query in _queries(walk, after):
                cursor = documents.find(query, sort=_SORTS[walk.order], limit=limit - len(found))
                found += await cursor.batch_size(limit + 1).to_list()
                if len(found) == limit:
                    break
            return found

        with translated("children"):
            return msgspec.convert(await self._read(Stream.B, read), list[StoredB])

    async def _find(self, stream: Stream, ids: list[str]) -> list[dict[str, Any]]:
        query = {"_id": ids[0] if len(ids) == 1 else {"$in": ids}}
        return await self._read(stream, lambda documents: documents.find(query, batch_size=len(ids) + 1).to_list())


def _queries(walk: Walk, after: Place | None) -> list[dict[str, Any]]:
    """What to ask one after the other: in the order of time, first what shares the last record's time, then the rest.

    One question with an $or would be a scan of the collection on some servers; each of these is a range of an index.
    """
    of_a: dict[str, Any] = {"a_id": walk.a_id}
    # $gt and one less, for SecantusDB leaves out what equals the $gte of a descending field within an index.
    since = {} if walk.since_ms is None else {"$gt": walk.since_ms - 1}
    since_then = of_a | ({"event_time": since} if since else {})
    if after is None:
        return [since_then]
    if walk.order is Order.ID:
        return [since_then | {"_id": {"$gt": after.id}}]
    return [
        of_a | {"event_time": after.event_time, "_id": {"$gt": after.id}},
        of_a | {"event_time": {"$lt": after.event_time} | since},
    ]


@contextmanager
def translated(operation: str) -> Iterator[None]:
    """Time an operation and turn the driver's exceptions into ours.

    A misuse of the driver stays what it is, a fault of ours; all else is MongoDB's state or configuration, which a
    caller can only wait out.
    """
    started = time.perf_counter()
    try:
        yield
    except (InvalidOperation, InvalidName):
        raise
    except (PyMongoError, BSONError) as error:
        # Callers are told the kind alone: the rest names hosts. It is logged with the answer.
        raise TryLater(f"MongoDB is away or unwilling ({type(error).__name__})") from error
    finally:
        metrics.STORE_SECONDS.labels("query-api", operation).observe(time.perf_counter() - started)
