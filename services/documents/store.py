"""Writing documents and positions to MongoDB: the only importer of its driver here, which translates its errors.

Every write asks for `w=majority, j=true`: a position that is behind us must mean documents that stay.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import pymongo
from bson.errors import BSONError
from bson.int64 import Int64
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, DuplicateKeyError

from common.concurrency import all_of
from common.contracts import RECORDS, Collections, Stream, position_id
from common.errors import Reposition, TryLater
from common.kafka.batches import Partition
from common.mongo import check_mongo, client_of
from common.settings import MongoSettings
from documents.failures import SERVICE, refused, translated
from documents.versions import Upsert
from documents.writes import erasure, guarded

T = TypeVar("T")

# The marks of erased ids go once no worker can be about to write what came before.
_MARKS: Final = IndexModel([("erased_at", ASCENDING)], expireAfterSeconds=86_400, sparse=True)
# The B of an A: newest first, and by id, in an order that no refresh disturbs.
_CHILDREN: Final = [
    IndexModel([("a_id", ASCENDING), ("event_time", DESCENDING), ("_id", ASCENDING)]),
    IndexModel([("a_id", ASCENDING), ("_id", ASCENDING)]),
]
INDEXES: Final[Mapping[Stream, Sequence[IndexModel]]] = {Stream.A: [_MARKS], Stream.B: [_MARKS, *_CHILDREN]}

# An index on documents that are already there takes its time, and an interrupted build begins anew.
INDEX_TIMEOUT_S: Final = 1800
_FAREWELL_S: Final = 1
# Small enough that a slow server finishes a call in time, large enough that the way there and back costs nothing:
# SecantusDB takes a thousand upserts a second.
_WRITES_PER_CALL: Final = 250

_UNENCODABLE: Final = (BSONError, UnicodeEncodeError, OverflowError)

_STREAMS: Final = {topic: stream for stream, topic in RECORDS.items()}


class Writing(NamedTuple):
    """Into which generations of a stream's documents a partition is written, and what its position says of it."""

    generations: Sequence[int]
    told: Sequence[int] | None
    """What the position holds, for a compare-and-set; None where it holds nothing yet."""


class DocumentStore:
    """The newest version of every record, and up to where the log is in it."""

    def __init__(self, settings: MongoSettings) -> None:
        self._settings = settings
        self._client = client_of(settings, SERVICE)
        self._database = self._client.get_database(
            settings.mongo_database, write_concern=WriteConcern("majority", j=True)
        )
        self._calls = asyncio.Semaphore(settings.mongo_writes_at_once)
        self._writing: dict[Partition, Writing] = {}

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
        await check_mongo(self._client, self._settings)  # the long patience below would also wait for a server
        for stream, generation in (await self.generations()).items():
            await self.make_indexes(stream, generation)

    async def make_indexes(self, stream: Stream, generation: int) -> None:
        """Make the indexes of one collection that are missing.

        Raises:
            TryLater: MongoDB is away.
        """
        with translated("prepare"), pymongo.timeout(INDEX_TIMEOUT_S):
            await self.documents(stream, generation).create_indexes(INDEXES[stream])

    async def generations(self) -> dict[Stream, int]:
        """Which generation answers for each stream.

        Raises:
            TryLater: MongoDB is away.
        """
        with translated("generations"):
            found = await self._database[Collections.GENERATIONS].find().to_list()
        numbers = {document["_id"]: document["number"] for document in found}
        return {stream: numbers.get(stream.value, 0) for stream in Stream}

    async def upsert(
        self, stream: Stream, upserts: Sequence[Upsert], into: Sequence[int] = (0,)
    ) -> list[tuple[Upsert, str]]:
        """Store each of `upserts`, at most one per id, in the generations `into`, unless a greater version is there.

        Returns:
            Those that MongoDB will never take, with what it says.

        Raises:
            TryLater: some or all may not have been written.
        """
        refused: dict[int, str] = {}
        for generation in into:
            refused |= await self._write("upsert", self.documents(stream, generation), guarded, upserts)
        return [(upserts[index], detail) for index, detail in sorted(refused.items())]

    async def erase(self, stream: Stream, ids: Mapping[str, int], now_ms: int, into: Sequence[int] = (0,)) -> None:
        """Erase the documents of `ids` that are older than their tombstones, which stand at these offsets.

        Raises:
            TryLater: some or all may still be there.
        """

        def erased(one: tuple[str, int]) -> UpdateOne:
            return erasure(*one, now_ms)

        for generation in into:
            refused = await self._write("erase", self.documents(stream, generation), erased, list(ids.items()))
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
        told = {ids[document["_id"]]: document.get("writes") for document in found}
        await self._learn({partition: told.get(partition) for partition in partitions})
        return {ids[document["_id"]]: document["offset"] for document in found}

    async def writing(self, partition: Partition) -> Writing:
        """Into which generations `partition` is to be written, as its position said when it was last asked.

        Raises:
            TryLater: MongoDB is away.
        """
        if partition not in self._writing:
            await self.positions([partition])
        return self._writing[partition]

    async def _learn(self, told: Mapping[Partition, Sequence[int] | None]) -> None:
        silent = any(writes is None and partition.topic in _STREAMS for partition, writes in told.items())
        answering = await self.generations() if silent else {}
        for partition, writes in told.items():
            if partition.topic in _STREAMS:
                generations = [answering[_STREAMS[partition.topic]]] if writes is None else writes
                self._writing[partition] = Writing(generations, writes)

    async def move(self, partition: Partition, believed: int, offset: int, writing: Writing | None = None) -> None:
        """Set the position to `offset` if it still is `believed`, 0 for none, and says what `writing` was told.

        Raises:
            Reposition: it is another, or what was written has to be written into other generations, too.
            TryLater: it may or may not have been set.
        """
        where: dict[str, Any] = {"_id": position_id(*partition), "offset": believed}
        fields: dict[str, Any] = {"offset": Int64(offset)}
        if writing is not None:
            where["writes"] = writing.told
            fields["writes"] = writing.generations
        with translated("move"):
            try:
                result = await self._positions.update_one(where, {"$set": fields}, upsert=believed == 0)
            except DuplicateKeyError:  # there is one, and it is not 0
                moved = False
            else:
                moved = result.matched_count == 1 or result.upserted_id is not None
        if not moved:
            self._writing.pop(partition, None)
            raise Reposition(f"the position of {position_id(*partition)} is not {believed}, or was told more")
        if writing is not None:
            self._writing[partition] = Writing(writing.generations, writing.generations)

    def documents(self, stream: Stream, generation: int) -> AsyncCollection[dict[str, Any]]:
        """The collection of one generation."""
        return self._database[Collections.of(stream, generation)]

    @property
    def _positions(self) -> AsyncCollection[dict[str, Any]]:
        return self._database[Collections.POSITIONS]

    async def _write(
        self,
        operation: str,
        collection: AsyncCollection[dict[str, Any]],
        update: Callable[[T], UpdateOne],
        items: Sequence[T],
    ) -> dict[int, str]:
        """Make the `update` of each item, in no order; returns what is wrong with those that are refused, by index."""
        starts = range(0, len(items), _WRITES_PER_CALL)
        parts = await all_of(
            self._write_part(operation, collection, update, items[start : start + _WRITES_PER_CALL]) for start in starts
        )
        return {
            start + index: detail for start, part in zip(starts, parts, strict=True) for index, detail in part.items()
        }

    async def _write_part(
        self,
        operation: str,
        collection: AsyncCollection[dict[str, Any]],
        update: Callable[[T], UpdateOne],
        items: Sequence[T],
    ) -> dict[int, str]:
        try:
            async with self._calls:
                # Made now and not before: thousands of them at once cost the garbage collector more than all the rest.
                writes = [update(item) for item in items]
                with translated(operation):
                    await collection.bulk_write(writes, ordered=False)
        except BulkWriteError as error:
            return refused(error)
        except _UNENCODABLE as error:
            if len(items) == 1:
                return {0: f"It cannot be encoded as BSON: {error}"}
            # The driver does not say which one it is.
            half = len(items) // 2
            first = await self._write_part(operation, collection, update, items[:half])
            second = await self._write_part(operation, collection, update, items[half:])
            return first | {half + index: detail for index, detail in second.items()}
        return {}
