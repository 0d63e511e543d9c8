"""Rejected records in MongoDB, and what became of their replays; like `store`, the importer of its driver."""

from collections.abc import Collection
from typing import Any, Final

import msgspec
from bson.int64 import Int64
from pymongo import ASCENDING, DESCENDING, WriteConcern

from common.contracts import Collections, StoredRejected, StoredReplay
from query_api.store import Store, translated
from query_api.walks import Place, RejectedWalk

_IDS_PER_FIND: Final = 100  # SecantusDB's time for an $in grows with the square of its length
_SORT: Final = [("rejected_at", DESCENDING), ("_id", ASCENDING)]


class RejectedStore:
    """What was put aside; `documents` stores it, the mark of a replay is set here."""

    def __init__(self, store: Store) -> None:
        self._rejected = store.database.get_collection(
            Collections.REJECTED, write_concern=WriteConcern("majority", j=True)
        )

    async def page(self, walk: RejectedWalk, after: Place | None, limit: int) -> list[StoredRejected]:
        """Up to `limit` of `walk` that come after the place `after`, newest first, without their bytes.

        Raises:
            TryLater: MongoDB is away or overloaded.
        """
        found: list[dict[str, Any]] = []
        with translated("rejected"):
            for query in _queries(walk, after):
                cursor = self._rejected.find(query, {"value": 0}, sort=_SORT, limit=limit - len(found))
                found += await cursor.batch_size(limit + 1).to_list()
                if len(found) == limit:
                    break
        return msgspec.convert(found, list[StoredRejected])

    async def find(self, ids: Collection[str]) -> dict[str, StoredRejected]:
        """Those of `ids` that there are, by id.

        Raises:
            TryLater: MongoDB is away or overloaded.
        """
        wanted, found = list(dict.fromkeys(ids)), list[dict[str, Any]]()
        with translated("rejected"):
            for start in range(0, len(wanted), _IDS_PER_FIND):
                some = wanted[start : start + _IDS_PER_FIND]
                found += await self._rejected.find({"_id": {"$in": some}}).to_list()
        return {one.id: one for one in msgspec.convert(found, list[StoredRejected], builtin_types=(bytes,))}

    async def reserve(self, rejected: StoredRejected, replay: StoredReplay) -> bool:
        """Mark `rejected` as about to be replayed; False when its mark is no longer the one that `rejected` has.

        Raises:
            TryLater: it may or may not be marked.
        """
        former = None if rejected.replay is None else rejected.replay.owner
        document = msgspec.to_builtins(replay)
        document |= {name: Int64(document[name]) for name in ("first_us", "lease_until", "at")}
        return await self._change({"_id": rejected.id, "replay.owner": former}, {"replay": document})

    async def finish(self, rejected_id: str, owner: str, receipt: str) -> bool:
        """The log has what went in its place; False when another attempt has taken over.

        Raises:
            TryLater: it may or may not be noted.
        """
        return await self._change({"_id": rejected_id, "replay.owner": owner}, {"replay.receipt": receipt})

    async def release(self, rejected_id: str, owner: str) -> bool:
        """The attempt failed: another need not wait for the lease to end.

        Raises:
            TryLater: it may or may not be released.
        """
        return await self._change({"_id": rejected_id, "replay.owner": owner}, {"replay.lease_until": Int64(0)})

    async def _change(self, where: dict[str, Any], fields: dict[str, Any]) -> bool:
        with translated("mark_rejected"):
            result = await self._rejected.update_one(where, {"$set": fields})
        return result.matched_count == 1


def _queries(walk: RejectedWalk, after: Place | None) -> list[dict[str, Any]]:
    """What to ask one after the other, as `store` does for the B of an A, and for its reasons."""
    of = {name: value for name, value in (("code", walk.code), ("stream", walk.stream)) if value is not None}
    since = {} if walk.since_ms is None else {"$gt": walk.since_ms - 1}
    until = {} if walk.until_ms is None else {"$lt": walk.until_ms}
    if after is None:
        return [of | ({"rejected_at": since | until} if since or until else {})]
    return [
        of | {"rejected_at": after.event_time, "_id": {"$gt": after.id}},
        of | {"rejected_at": since | {"$lt": after.event_time}},
    ]
