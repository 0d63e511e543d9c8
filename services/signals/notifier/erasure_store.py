"""Taking out of MongoDB what alerts and their deliveries hold of a record whose id was erased.

What is left tells that a rule held, when, and whom it was told to: counts stay, and a replay of the log raises nothing
anew. Everything here may be done twice.
"""

from collections.abc import Collection, Sequence

import msgspec
from bson.int64 import Int64
from pymongo import UpdateOne

from common.alerts import Erasure
from common.deliveries import Attempt, DeliveryState, delivery_id
from signals.notifier.mongo import Document, Documents, parts, translated, with_ids
from signals.notifier.outcomes import RECORD_ERASED

_NOTHING: Document = {"record": "", "record_id": "", "a_id": "", "matches": [], "note": None}


class ErasureStore:
    """Every call raises TryLater where MongoDB is away; some may have been done then."""

    def __init__(self, alerts: Documents, deliveries: Documents) -> None:
        self._alerts = alerts
        self._deliveries = deliveries

    async def erase(self, erasure: Erasure, now_ms: int) -> set[str]:
        """Erase what there is of a record up to its tombstone; returns the ids of the alerts.

        Deliveries come before their alerts, by which they are found.
        """
        with translated("erase"):
            wanted = {"record_id": erasure.record_id, "stream": erasure.stream.value}
            found = await self._alerts.find(wanted, {"destinations": 1, "offset": 1}).to_list()
        before = [alert for alert in found if alert.get("offset", -1) < erasure.offset]
        await self._erase_deliveries([delivery_id(alert["_id"], d) for alert in before for d in alert["destinations"]])
        fields = {**_NOTHING, "erased_at": Int64(now_ms), "erased_by": Int64(erasure.offset)}
        ids = [alert["_id"] for alert in before]
        for part in parts(ids):
            with translated("erase"):
                await self._alerts.update_many({"_id": {"$in": part}}, {"$set": fields})
        return set(ids)

    async def forget(self, alerts: Collection[str], destinations: Collection[str]) -> None:
        """Take erased alerts away whose text was sent again since: they are raised anew, as if there had been none."""
        for part in parts([delivery_id(alert, name) for alert in alerts for name in destinations]):
            with translated("forget"):
                await self._deliveries.delete_many({"_id": {"$in": part}})
        for part in parts(list(alerts)):
            with translated("forget"):
                await self._alerts.delete_many({"_id": {"$in": part}})

    async def _erase_deliveries(self, ids: Sequence[str]) -> None:
        """What has not left is closed; what was answered goes, for receivers may repeat what they were told."""
        closed = {"state": DeliveryState.ERASED.value, "detail": RECORD_ERASED, "due_at": None}
        for part in parts(ids):
            its: Document = {"_id": {"$in": part}}
            open_ = {"$or": [{"due_at": {"$gt": 0}}, {"state": DeliveryState.DIGESTED.value}]}
            with translated("erase"):
                await self._deliveries.update_many(
                    {**its, **open_}, {"$set": {**closed, "claimed_by": None, "claimed_until": 0}}
                )
                await self._deliveries.update_many(its, {"$set": {"a_id": None}})
        found = await with_ids(self._deliveries, ids, {"message": 1})
        digests = {document["message"] for document in found if document["message"] is not None}
        await self._erase_answers([*ids, *digests])

    async def _erase_answers(self, ids: Sequence[str]) -> None:
        """Nobody may be at it: who is writes down what it knows, and an erasure that comes again finds it."""
        writes = []
        for document in await with_ids(self._deliveries, ids, {"attempts": 1, "claimed_by": 1}):
            attempts = msgspec.convert(document["attempts"], list[Attempt])
            if any(attempt.response is not None for attempt in attempts):
                silent = [msgspec.structs.replace(attempt, response=None) for attempt in attempts]
                where = {"_id": document["_id"], "claimed_by": None, "attempts": document["attempts"]}
                writes.append(UpdateOne(where, {"$set": {"attempts": msgspec.to_builtins(silent)}}))
        if writes:
            with translated("erase"):
                await self._deliveries.bulk_write(writes, ordered=False)
