"""Rejected records in MongoDB, for as long as the settings say; like `store`, the importer of its driver.

A record that was refused may still be on its way here when its id is erased. So an erasure is noted before anything is
deleted, and looked up after anything is stored: whichever comes first, the other one finds it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import pymongo
from bson.int64 import Int64
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne

from common.contracts import Collections, StoredRejected, Stream
from documents.erasures import Erasure, PutAside, is_void
from documents.failures import translated
from documents.store import INDEX_TIMEOUT_S, DocumentStore

# Newest first, all of them or those with a code; those of an id, for its erasure; those that are due.
INDEXES: Final = [
    IndexModel([("rejected_at", DESCENDING), ("_id", ASCENDING)]),
    IndexModel([("code", ASCENDING), ("rejected_at", DESCENDING), ("_id", ASCENDING)]),
    IndexModel([("record_id", ASCENDING)]),
    IndexModel([("expires_at", ASCENDING)], expireAfterSeconds=0),
]
_DUE: Final = [IndexModel([("expires_at", ASCENDING)], expireAfterSeconds=0)]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WRITES_PER_CALL: Final = 50  # up to half a mebibyte each
_IDS_PER_CALL: Final = 100  # SecantusDB's time for an $in grows with the square of its length


class RejectedStore:
    """What was put aside; a record that is there already stays as it is, with what became of it since."""

    def __init__(self, store: DocumentStore, kept_days: int) -> None:
        self._rejected = store.database[Collections.REJECTED]
        self._erased = store.database[Collections.ERASED]
        self._kept = timedelta(days=kept_days)

    async def prepare(self) -> None:
        """Make the indexes that are missing.

        Raises:
            TryLater: MongoDB is away.
        """
        with translated("prepare"), pymongo.timeout(INDEX_TIMEOUT_S):
            await self._rejected.create_indexes(INDEXES)
            await self._erased.create_indexes(_DUE)

    async def keep(self, rejected: Sequence[StoredRejected]) -> None:
        """Store those of `rejected` that are not there yet, but for those whose ids were erased since.

        Raises:
            TryLater: some or all may not have been written.
        """
        for start in range(0, len(rejected), _WRITES_PER_CALL):
            some = rejected[start : start + _WRITES_PER_CALL]
            with translated("keep_rejected"):
                await self._rejected.bulk_write([self._insertion(one) for one in some], ordered=False)
                await self._delete_void(some)

    async def erase(self, stream: Stream, erasures: Mapping[str, Erasure]) -> None:
        """Delete what was refused under any of the ids of `erasures` before it, and what is still on its way here.

        What was refused later stays, however late an erasure is carried out, or carried out again.

        Raises:
            TryLater: some or all may still be there.
        """
        ids, told = list(erasures), {"_id": 1, "stream": 1, "record_id": 1, "rejected_at": 1}
        for start in range(0, len(ids), _IDS_PER_CALL):
            some = ids[start : start + _IDS_PER_CALL]
            with translated("erase_rejected"):
                marks = [self._mark(stream, id_, erasures[id_]) for id_ in some]
                await self._erased.bulk_write(marks, ordered=False)
                meant = {"record_id": {"$in": some}, "stream": stream.value}
                found = await self._rejected.find(meant, told).to_list()
                void = [one["_id"] for one in found if is_void(_place(one), erasures[one["record_id"]])]
                if void:
                    await self._rejected.delete_many({"_id": {"$in": void}})

    async def _delete_void(self, rejected: Sequence[StoredRejected]) -> None:
        """Delete those of `rejected` that an erasure was faster than."""
        keys = {one.id: _key(one.stream, one.record_id) for one in rejected if one.record_id is not None}
        if not keys:
            return
        found = await self._erased.find({"_id": {"$in": list(set(keys.values()))}}).to_list()
        erasures = {one["_id"]: Erasure(one["through"], one["at"]) for one in found}
        known = [(one, was) for one in rejected if (was := erasures.get(keys.get(one.id, "")))]
        void = [one.id for one, was in known if is_void(PutAside(one.id, one.stream, one.rejected_at), was)]
        if void:
            await self._rejected.delete_many({"_id": {"$in": void}})

    def _mark(self, stream: Stream, record_id: str, erasure: Erasure) -> UpdateOne:
        """An update that notes an erasure, unless it, or a later one, is noted: it may be carried out again any time.

        It stays until all that it is about would have gone by itself.
        """
        mark: dict[str, Any] = {
            "_id": "$_id",
            "through": Int64(erasure.through),
            "at": Int64(erasure.at),
            "expires_at": _EPOCH + timedelta(milliseconds=erasure.at) + self._kept,
        }
        noted = {"$gte": ["$through", Int64(erasure.through)]}
        change = [{"$replaceWith": {"$cond": [noted, "$$ROOT", mark]}}]
        return UpdateOne({"_id": _key(stream.value, record_id)}, change, upsert=True)

    def _insertion(self, rejected: StoredRejected) -> UpdateOne:
        document = msgspec.to_builtins(rejected, builtin_types=(bytes,))
        at = Int64(rejected.rejected_at)
        document |= {"rejected_at": at, "expires_at": _EPOCH + timedelta(milliseconds=at) + self._kept}
        return UpdateOne({"_id": document.pop("_id")}, {"$setOnInsert": document}, upsert=True)


def _place(document: Mapping[str, Any]) -> PutAside:
    return PutAside(document["_id"], document["stream"], document["rejected_at"])


def _key(stream: str, record_id: str) -> str:
    """The id of an erasure's mark."""
    return f"{stream}/{record_id}"
