"""Writing documents and positions to MongoDB: the only importer of its driver here, which translates its errors.

Every write asks for `w=majority, j=true`: a position that is behind us must mean documents that stay.
"""

import asyncio
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pymongo
from bson.errors import BSONError
from bson.int64 import Int64
from pymongo import ASCENDING, DESCENDING, AsyncMongoClient, DeleteOne, IndexModel, UpdateOne, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    DuplicateKeyError,
    InvalidName,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
)

from common import metrics
from common.concurrency import all_of
from common.contracts import Collections, RecordB, Stream, position_id
from common.errors import CannotStart, Reposition, TryLater, unfit_secret
from common.kafka.batches import Partition
from common.settings import MongoSettings
from documents.versions import Upsert

SERVICE: Final = "documents"

# The B of an A: newest first, and by id, in an order that no refresh disturbs.
INDEXES: Final = [
    IndexModel([("a_id", ASCENDING), ("event_time", DESCENDING), ("_id", ASCENDING)]),
    IndexModel([("a_id", ASCENDING), ("_id", ASCENDING)]),
]

# An index on documents that are already there takes its time, and an interrupted build begins anew.
INDEX_TIMEOUT_S: Final = 1800
_FAREWELL_S: Final = 1
# Small enough that a slow server finishes a call in time, large enough that the way there and back costs nothing:
# SecantusDB takes a thousand upserts a second.
_WRITES_PER_CALL: Final = 250
_CALLS_AT_ONCE: Final = 4

# Codes of what is wrong with one document as it is; any other failure may be the server's and pass.
_REFUSED: Final = {
    121,  # it fails the collection's validator
    10334,  # it is larger than 16 MiB
    17280,  # its key is too long for an index
    17419,  # it would become larger than 16 MiB
    17420,  # it would be larger than 16 MiB from the start
}
_NOT_LET_IN: Final = {13, 18, 8000}  # Unauthorized, AuthenticationFailed, AtlasError
_UNENCODABLE: Final = (BSONError, UnicodeEncodeError, OverflowError)

_Write = UpdateOne | DeleteOne


class DocumentStore:
    """The newest version of every record, and up to where the log is in it."""

    def __init__(self, settings: MongoSettings) -> None:
        try:
            self._client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
                settings.mongo_uri.get_secret_value(),
                timeoutMS=settings.mongo_timeout_ms,
                serverSelectionTimeoutMS=settings.mongo_timeout_ms,
                appname=f"twinstream {SERVICE}",
            )
        except (PyMongoError, ValueError) as error:  # a bad port is a ValueError
            raise CannotStart(unfit_secret("TWINSTREAM_MONGO_URI", error)) from None
        self._database = self._client.get_database(
            settings.mongo_database, write_concern=WriteConcern("majority", j=True)
        )
        self._calls = asyncio.Semaphore(_CALLS_AT_ONCE)

    @property
    def database(self) -> AsyncDatabase[dict[str, Any]]:
        """For the other adapters of this service."""
        return self._database

    async def close(self) -> None:
        with pymongo.timeout(_FAREWELL_S):  # the driver takes leave of the server, which may no longer answer
            await self._client.close()

    async def prepare(self) -> None:
        """Make the indexes that are missing.

        Raises:
            TryLater: MongoDB is away.
            CannotStart: MongoDB does not let us in.
        """
        with translated("prepare"):
            await self._client.admin.command("ping")  # the long patience below would also wait for a server
            with pymongo.timeout(INDEX_TIMEOUT_S):
                await self._of(Stream.B).create_indexes(INDEXES)

    async def upsert(self, stream: Stream, upserts: Sequence[Upsert]) -> list[tuple[Upsert, str]]:
        """Store each of `upserts`, at most one per id, unless a greater version is there.

        Returns:
            Those that MongoDB will never take, with what it says.

        Raises:
            TryLater: some or all may not have been written.
        """
        refused = await self._write("upsert", stream, [guarded(upsert) for upsert in upserts])
        return [(upserts[index], detail) for index, detail in sorted(refused.items())]

    async def erase(self, stream: Stream, ids: Collection[str]) -> None:
        """Delete the documents of `ids`.

        Raises:
            TryLater: some or all may still be there.
        """
        refused = await self._write("erase", stream, [DeleteOne({"_id": record_id}) for record_id in ids])
        if refused:
            raise TryLater(f"MongoDB did not erase {len(refused)} documents")

    async def positions(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """The next offset to read of each of `partitions`; those that have none yet are left out.

        Raises:
            TryLater: MongoDB is away.
        """
        ids = {position_id(*partition): partition for partition in partitions}
        with translated("positions"):
            found = await self._positions.find({"_id": {"$in": list(ids)}}).to_list()
        return {ids[document["_id"]]: document["offset"] for document in found}

    async def confirm(self, partition: Partition, believed: int) -> None:
        """Make sure that the position is `believed`, where 0 stands for none.

        Raises:
            Reposition: it is another.
            TryLater: MongoDB is away.
        """
        stored = (await self.positions([partition])).get(partition, 0)
        if stored != believed:
            raise Reposition(f"the position of {position_id(*partition)} is {stored}, not {believed}")

    async def move(self, partition: Partition, believed: int, offset: int) -> None:
        """Set the position to `offset` if it still is `believed`, where 0 stands for none.

        Raises:
            Reposition: it is another.
            TryLater: it may or may not have been set.
        """
        where = {"_id": position_id(*partition), "offset": believed}
        with translated("move"):
            try:
                result = await self._positions.update_one(
                    where, {"$set": {"offset": Int64(offset)}}, upsert=believed == 0
                )
            except DuplicateKeyError:  # there is one, and it is not 0
                moved = False
            else:
                moved = result.matched_count == 1 or result.upserted_id is not None
        if not moved:
            raise Reposition(f"the position of {position_id(*partition)} is not {believed}")

    @property
    def _positions(self) -> AsyncCollection[dict[str, Any]]:
        return self._database[Collections.POSITIONS]

    def _of(self, stream: Stream) -> AsyncCollection[dict[str, Any]]:
        return self._database[Collections.of(stream)]

    async def _write(self, operation: str, stream: Stream, writes: Sequence[_Write]) -> dict[int, str]:
        """Make all of `writes`, in no order; returns what is wrong with those that are refused, by index."""
        starts = range(0, len(writes), _WRITES_PER_CALL)
        parts = await all_of(
            self._write_part(operation, stream, writes[start : start + _WRITES_PER_CALL]) for start in starts
        )
        return {
            start + index: detail for start, part in zip(starts, parts, strict=True) for index, detail in part.items()
        }

    async def _write_part(self, operation: str, stream: Stream, writes: Sequence[_Write]) -> dict[int, str]:
        try:
            async with self._calls:
                with translated(operation):
                    await self._of(stream).bulk_write(writes, ordered=False)
        except BulkWriteError as error:
            return _refused(error)
        except _UNENCODABLE as error:
            if len(writes) == 1:
                return {0: f"It cannot be encoded as BSON: {error}"}
            # The driver does not say which one it is.
            half = len(writes) // 2
            first = await self._write_part(operation, stream, writes[:half])
            second = await self._write_part(operation, stream, writes[half:])
            return first | {half + index: detail for index, detail in second.items()}
        return {}


def guarded(upsert: Upsert) -> UpdateOne:
    """An update that makes `upsert` the document of its id unless a greater version is; either way first_seen falls.

    What came from outside stands in a $literal: a text may begin with a dollar, and is no expression for that. Fields
    that are not there yet compare as null, which is less than any number.
    """
    record, version, first_seen, _ = upsert
    ours = [Int64(part) for part in version]
    event_time, ingested_at, content_hash = ours
    document: dict[str, Any] = {"number": record.number}
    if isinstance(record, RecordB):
        document["a_id"] = record.a_id
    document |= {
        "text": record.text,
        "event_time": event_time,
        "ingested_at": ingested_at,
        "content_hash": content_hash,
    }
    greater = {"$gt": [ours, ["$event_time", "$ingested_at", "$content_hash"]]}
    merged = [
        "$$ROOT",
        {"$cond": [greater, {"$literal": document}, {}]},
        {"first_seen": {"$min": ["$first_seen", Int64(first_seen)]}},
    ]
    return UpdateOne({"_id": record.id}, [{"$replaceWith": {"$mergeObjects": merged}}], upsert=True)


@contextmanager
def translated(operation: str) -> Iterator[None]:
    """Time an operation and turn the driver's exceptions into ours.

    A `BulkWriteError` passes, for it speaks of each write by itself, and so does a misuse of the driver, which is a
    fault of ours.

    Raises:
        CannotStart: MongoDB does not let us in, or the configuration does not fit.
        TryLater: anything else.
    """
    started = time.perf_counter()
    try:
        yield
    except (BulkWriteError, InvalidOperation, InvalidName, BSONError):
        raise
    except PyMongoError as error:
        code = error.code if isinstance(error, OperationFailure) else None
        if isinstance(error, ConfigurationError) or code in _NOT_LET_IN:
            raise CannotStart(f"MongoDB refused {operation}: {error}") from error
        raise TryLater(f"MongoDB did not take part in {operation}: {type(error).__name__}") from error
    finally:
        metrics.STORE_SECONDS.labels(SERVICE, operation).observe(time.perf_counter() - started)


def _refused(error: BulkWriteError) -> dict[int, str]:
    """What is wrong with each refused write, by index.

    Raises:
        TryLater: a write failed that may yet succeed, or the writes were not confirmed.
    """
    failures = error.details["writeErrors"]
    passing = {failure["code"] for failure in failures if failure["code"] not in _REFUSED}
    if passing or error.details["writeConcernErrors"]:
        raise TryLater(f"MongoDB did not take every write: codes {sorted(passing)}") from error
    return {failure["index"]: failure["errmsg"] for failure in failures}
