"""The generations of one stream's documents in MongoDB: claimed, filled, switched, retired; an importer of its driver.

What makes a switch without a gap possible: a position names the generations that its partition is written into, and
moves by compare-and-set. Once a rebuild has told it of the next generation, no batch passes it that has not been
written into both; the rebuild itself fills the next one up to there.
"""

import secrets
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from bson.int64 import Int64
from pymongo import ReturnDocument, UpdateOne

from common.clock import Clock
from common.contracts import RECORDS, Collections, Stream, position_id
from common.errors import CannotStart, TryLater
from documents.failures import translated
from documents.store import DocumentStore

LEASE_MS: Final = 60_000
_IDS_PER_FIND: Final = 100  # SecantusDB's time for an $in grows with the square of its length
_PAGE: Final = 200
_FILLING: Final = {"filling": "", "filled": "", "source": ""}
RECORDS_ALONE: Final = {"event_time": {"$exists": True}}
"""Not the marks of erased ids."""


class Claim(NamedTuple):
    """The right to rebuild, and what an attempt before it that was killed has left."""

    number: int  # that answers
    next: int
    is_resumed: bool  # whether the next one is there already
    filled: Mapping[int, int]  # partition → up to where the next one is filled
    former: int | None  # what a switch took out of service and nobody deleted yet


class Generations:
    """One stream's."""

    def __init__(
        self, store: DocumentStore, stream: Stream, partitions: int, clock: Clock, source: str = "log"
    ) -> None:
        """`source`: what the next one is filled from; what an attempt filled from another is not gone on with."""
        self._store = store
        self._stream = stream
        self._ids = [position_id(RECORDS[stream], number) for number in range(partitions)]
        self._clock = clock
        self._source = source
        self._owner = secrets.token_hex(8)
        self._generations = store.database[Collections.GENERATIONS]
        self._positions = store.database[Collections.POSITIONS]

    async def claim(self) -> Claim:
        """Take the lease.

        Raises:
            CannotStart: another rebuild has it.
            TryLater: MongoDB is away; so with all that follows here.
        """
        now_ms = self._clock.now_ms()
        with translated("claim"):
            await self._generations.update_one(
                {"_id": self._stream.value}, {"$setOnInsert": {"number": 0, "lease_until": Int64(0)}}, upsert=True
            )
            found = await self._generations.find_one_and_update(
                {"_id": self._stream.value, "lease_until": {"$lte": now_ms}},
                {"$set": {"owner": self._owner, "lease_until": Int64(now_ms + LEASE_MS)}},
                return_document=ReturnDocument.AFTER,
            )
        if found is None:
            raise CannotStart("Another rebuild runs, or one was killed within the last minute: try again.")
        number = found["number"]
        is_resumed = found.get("filling") == number + 1 and found.get("source") == self._source
        filled = {int(n): at for n, at in found.get("filled", {}).items()} if is_resumed else {}
        return Claim(number, number + 1, is_resumed, filled, found.get("former"))

    async def release(self) -> None:
        """Let others rebuild."""
        await self._note({"$set": {"lease_until": Int64(0)}})

    async def begin(self, claim: Claim) -> None:
        """Make the collection to fill, empty, unless an attempt that was killed has got somewhere."""
        if not claim.is_resumed:
            await self.write_only(claim.number)  # one that is not gone on with may have told otherwise
            with translated("begin"):
                await self._store.documents(self._stream, claim.next).drop()
            await self._note({"$set": {"filling": claim.next, "filled": {}, "source": self._source}})
        await self._store.make_indexes(self._stream, claim.next)

    async def tell(self, claim: Claim) -> list[int]:
        """Have every batch from now on written into both; returns up to where each partition is to be filled."""
        mark = {"filling": claim.next, "writes": [claim.number, claim.next], "fill_until": "$offset"}
        with translated("tell"):
            for id_ in self._ids:
                await self._positions.update_one({"_id": id_}, {"$setOnInsert": {"offset": Int64(0)}}, upsert=True)
                await self._positions.update_one({"_id": id_, "filling": {"$ne": claim.next}}, [{"$set": mark}])
        return [document["fill_until"] for document in await self._told()]

    async def filled(self, partition: int, offset: int) -> None:
        """Note how far the next generation is, and keep the lease."""
        await self.keep({f"filled.{partition}": Int64(offset)})

    async def keep(self, fields: Mapping[str, Any] | None = None) -> None:
        """Keep the lease."""
        until = Int64(self._clock.now_ms() + LEASE_MS)
        await self._note({"$set": {**(fields or {}), "lease_until": until}})

    async def switch(self, claim: Claim) -> None:
        """Let the next generation answer.

        Raises:
            TryLater: MongoDB has lost what it was told, so some records may be in the former one alone.
        """
        if any(document.get("filling") != claim.next for document in await self._told()):
            raise TryLater("MongoDB came back without the marks of this rebuild: start it again")
        change = {"$set": {"number": claim.next, "former": claim.number}, "$unset": _FILLING}
        await self._note(change)

    async def write_only(self, number: int) -> None:
        """Have every batch from now on written into this generation alone."""
        change = {"$set": {"writes": [number]}, "$unset": {"filling": "", "fill_until": ""}}
        with translated("write_only"):
            await self._positions.update_many({"_id": {"$in": self._ids}}, change)

    async def delete(self, number: int) -> None:
        """Delete a generation that does not answer."""
        with translated("delete"):
            await self._store.documents(self._stream, number).drop()
        await self._note({"$unset": {**_FILLING, "former": ""}})

    async def pages(self, number: int) -> AsyncIterator[Sequence[dict[str, Any]]]:
        """All records of a generation, by id."""
        documents, after = self._store.documents(self._stream, number), ""
        while True:
            with translated("scan"):
                cursor = documents.find({"_id": {"$gt": after}, **RECORDS_ALONE}).sort("_id").limit(_PAGE)
                page = await cursor.batch_size(_PAGE + 1).to_list()
            if not page:
                return
            yield page
            after = page[-1]["_id"]

    async def find(self, number: int, ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """The records of a generation with these ids."""
        documents, wanted, found = self._store.documents(self._stream, number), list(ids), list[dict[str, Any]]()
        for start in range(0, len(wanted), _IDS_PER_FIND):
            with translated("scan"):
                some = {"_id": {"$in": wanted[start : start + _IDS_PER_FIND]}, **RECORDS_ALONE}
                found += await documents.find(some).to_list()
        return {document["_id"]: document for document in found}

    async def count(self, number: int) -> int:
        """How many records a generation has."""
        with translated("scan"):
            return await self._store.documents(self._stream, number).count_documents(RECORDS_ALONE)

    async def lower_first_seen(self, number: int, first_seen: Mapping[str, int]) -> None:
        """Remember of records that there are when their ids were first seen."""
        writes = [
            UpdateOne({"_id": id_, **RECORDS_ALONE}, {"$min": {"first_seen": Int64(first)}})
            for id_, first in first_seen.items()
        ]
        if writes:
            with translated("carry"):
                await self._store.documents(self._stream, number).bulk_write(writes, ordered=False)

    async def _told(self) -> list[dict[str, Any]]:
        with translated("tell"):
            found = await self._positions.find({"_id": {"$in": self._ids}}).to_list()
        by_id = {document["_id"]: document for document in found}
        return [by_id.get(id_, {}) for id_ in self._ids]

    async def _note(self, change: Mapping[str, Any]) -> None:
        with translated("note"):
            result = await self._generations.update_one({"_id": self._stream.value, "owner": self._owner}, change)
        if result.matched_count == 0:
            raise TryLater("another rebuild has taken over")
