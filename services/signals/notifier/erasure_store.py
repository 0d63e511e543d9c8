"""Taking out of MongoDB what alerts and their deliveries hold of records whose ids were erased.

What is left tells that a rule held, when, and whom it was told to: counts stay, and a replay of the log raises nothing
anew. Everything here may be done twice.
"""

from collections.abc import Collection, Mapping, Sequence

import msgspec
from bson.int64 import Int64
from pymongo import UpdateOne

from common.alerts import Erasure
from common.deliveries import Attempt, DeliveryState, delivery_id
from signals.notifier.mongo import Document, Documents, parts, translated, with_ids
from signals.notifier.outcomes import RECORD_ERASED, without_answers

_NOTHING: Document = {"record": "", "record_id": "", "a_id": "", "matches": [], "note": None}


class ErasureStore:
    """Every call raises TryLater where MongoDB is away; some may have been done then."""

    def __init__(self, alerts: Documents, deliveries: Documents) -> None:
        self._alerts = alerts
        self._deliveries = deliveries

    async def erase(self, erasures: Collection[Erasure], now_ms: int) -> None:
        """Erase what there is of records up to their tombstones, each of another record.

        Alerts say first what erases them: a message that is begun from then on tells nothing of them. What was begun
        before is found by their deliveries; only then goes what the alerts are found by.
        """
        found = {document["_id"]: document for document in await self._alerts_of(erasures)}
        await self._mark({id_: document["erased_by"] for id_, document in found.items()})
        await self._erase_deliveries(
            [delivery_id(id_, name) for id_, one in found.items() for name in one["destinations"]]
        )
        for part in parts(list(found)):
            with translated("erase"):
                await self._alerts.update_many(
                    {"_id": {"$in": part}}, {"$set": {**_NOTHING, "erased_at": Int64(now_ms)}}
                )

    async def forget(self, alerts: Collection[str], destinations: Collection[str]) -> None:
        """Take erased alerts away whose text was sent again since: they are raised anew, as if there had been none."""
        for part in parts([delivery_id(alert, name) for alert in alerts for name in destinations]):
            with translated("forget"):
                await self._deliveries.delete_many({"_id": {"$in": part}})
        for part in parts(list(alerts)):
            with translated("forget"):
                await self._alerts.delete_many({"_id": {"$in": part}})

    async def _alerts_of(self, erasures: Collection[Erasure]) -> list[Document]:
        """What is to be known of the alerts that `erasures` take: a look for many of them at once."""
        through = {(one.stream.value, one.record_id): one.offset for one in erasures}
        fields, found = {"record_id": 1, "stream": 1, "destinations": 1, "offset": 1}, list[Document]()
        for part in parts(list({one.record_id for one in erasures})):
            with translated("erase"):
                found += await self._alerts.find({"record_id": {"$in": part}}, fields).to_list()
        for alert in found:
            alert["erased_by"] = through.get((alert["stream"], alert["record_id"]), -1)
        return [alert for alert in found if alert.get("offset", -1) < alert["erased_by"]]

    async def _mark(self, erased_by: Mapping[str, int]) -> None:
        for part in parts(list(erased_by)):
            writes = [UpdateOne({"_id": id_}, {"$set": {"erased_by": Int64(erased_by[id_])}}) for id_ in part]
            with translated("erase"):
                await self._alerts.bulk_write(writes, ordered=False)

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
        found = await with_ids(self._deliveries, ids, {"message": 1, "was_part_of": 1})
        digests = {one[field] for one in found for field in ("message", "was_part_of") if one.get(field) is not None}
        for part in parts(list(digests)):
            with translated("erase"):  # others may yet be told of in it: whoever is at it keeps no answers from now on
                await self._deliveries.update_many({"_id": {"$in": part}}, {"$set": {"answers_erased": True}})
        await self._erase_answers([*ids, *digests])

    async def _erase_answers(self, ids: Sequence[str]) -> None:
        """What is written meanwhile, by whoever is at a message, is without answers."""
        writes = []
        for document in await with_ids(self._deliveries, ids, {"attempts": 1}):
            attempts = msgspec.convert(document["attempts"], tuple[Attempt, ...])
            if any(attempt.response is not None for attempt in attempts):
                where = {"_id": document["_id"], "attempts": document["attempts"]}
                silent = msgspec.to_builtins(without_answers(attempts))
                writes.append(UpdateOne(where, {"$set": {"attempts": silent}}))
        if writes:
            with translated("erase"):
                await self._deliveries.bulk_write(writes, ordered=False)
