"""Rejected records in MongoDB, for as long as the settings say; like `store`, the importer of its driver."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import pymongo
from bson.int64 import Int64
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne

from common.contracts import Collections, StoredRejected, Stream
from documents.failures import translated
from documents.store import INDEX_TIMEOUT_S, DocumentStore

# Newest first, all of them or those with a code; those of an id, for its erasure; those that are due.
INDEXES: Final = [
    IndexModel([("rejected_at", DESCENDING), ("_id", ASCENDING)]),
    IndexModel([("code", ASCENDING), ("rejected_at", DESCENDING), ("_id", ASCENDING)]),
    IndexModel([("record_id", ASCENDING)]),
    IndexModel([("expires_at", ASCENDING)], expireAfterSeconds=0),
]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WRITES_PER_CALL: Final = 50  # up to half a mebibyte each
_IDS_PER_CALL: Final = 100  # SecantusDB's time for an $in grows with the square of its length


class RejectedStore:
    """What was put aside; a record that is there already stays as it is, with what became of it since."""

    def __init__(self, store: DocumentStore, kept_days: int) -> None:
        self._rejected = store.database[Collections.REJECTED]
        self._kept = timedelta(days=kept_days)

    async def prepare(self) -> None:
        """Make the indexes that are missing.

        Raises:
            TryLater: MongoDB is away.
        """
        with translated("prepare"), pymongo.timeout(INDEX_TIMEOUT_S):
            await self._rejected.create_indexes(INDEXES)

    async def keep(self, rejected: Sequence[StoredRejected]) -> None:
        """Store those of `rejected` that are not there yet.

        Raises:
            TryLater: some or all may not have been written.
        """
        for start in range(0, len(rejected), _WRITES_PER_CALL):
            writes = [self._insertion(one) for one in rejected[start : start + _WRITES_PER_CALL]]
            with translated("keep_rejected"):
                await self._rejected.bulk_write(writes, ordered=False)

    async def erase(self, stream: Stream, record_ids: Collection[str]) -> None:
        """Delete what was refused under any of `record_ids`.

        Raises:
            TryLater: some or all may still be there.
        """
        ids = list(record_ids)
        for start in range(0, len(ids), _IDS_PER_CALL):
            those = {"record_id": {"$in": ids[start : start + _IDS_PER_CALL]}, "stream": stream.value}
            with translated("erase_rejected"):
                await self._rejected.delete_many(those)

    def _insertion(self, rejected: StoredRejected) -> UpdateOne:
        document = msgspec.to_builtins(rejected, builtin_types=(bytes,))
        at = Int64(rejected.rejected_at)
        document |= {"rejected_at": at, "expires_at": _EPOCH + timedelta(milliseconds=at) + self._kept}
        return UpdateOne({"_id": document.pop("_id")}, {"$setOnInsert": document}, upsert=True)
