"""Alerts and deliveries in MongoDB, for people; like `store`, the importer of its driver."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec
from bson.codec_options import CodecOptions
from bson.int64 import Int64
from pymongo import ASCENDING, DESCENDING, WriteConcern
from pymongo.asynchronous.collection import AsyncCollection

from common.alerts import AlertState, StoredAlert
from common.contracts import Collections
from common.deliveries import OPEN, Delivery, DeliveryState, DestinationHealth, delivery_id
from query_api.signal_walks import AlertWalk, DeliveryWalk, queries
from query_api.store import Store, translated
from query_api.walks import Place

_DONE: Final = [state.value for state in DeliveryState if state not in OPEN | {DeliveryState.DIGESTED}]

Document = dict[str, Any]
T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True)
class RuleCount:
    """How many alerts a rule raised and when it last did, and how often it ever held."""

    rule: str
    count: int
    last_raised_at: int  # ms since the epoch
    hits: int


class AlertStore:
    """What was found, and whom it reached. Every call raises TryLater where MongoDB is away."""

    def __init__(self, store: Store) -> None:
        self._alerts = _of(store, Collections.ALERTS)
        self._deliveries = _of(store, Collections.DELIVERIES)
        self._destinations = _of(store, Collections.DESTINATIONS)
        self._hits = _of(store, Collections.RULE_HITS)

    # --- alerts -----------------------------------------------------------------------------------------------------

    async def alerts(self, walk: AlertWalk, after: Place | None, limit: int) -> list[StoredAlert]:
        """Up to `limit` alerts that come after the place `after`, newest first."""
        return await _page(self._alerts, queries(walk, "raised_at", after), "raised_at", limit, StoredAlert)

    async def alert(self, id_: str) -> StoredAlert | None:
        with translated("alert"):
            found = await self._alerts.find_one({"_id": id_})
        return None if found is None else msgspec.convert(found, StoredAlert)

    async def acknowledge(self, id_: str, by: str, now_ms: int) -> None:
        """Mark an alert that is open; another stays as it is."""
        fields = {"state": AlertState.ACKNOWLEDGED.value, "acknowledged_at": Int64(now_ms), "acknowledged_by": by}
        await self._mark({"_id": id_, "state": AlertState.OPEN.value}, fields)

    async def resolve(self, id_: str, by: str, now_ms: int) -> None:
        """Mark an alert that is not resolved; another stays as it is."""
        fields = {"state": AlertState.RESOLVED.value, "resolved_at": Int64(now_ms), "resolved_by": by}
        await self._mark({"_id": id_, "state": {"$ne": AlertState.RESOLVED.value}}, fields)

    async def counts(self, since_ms: int) -> list[RuleCount]:
        """How many alerts each rule raised since then, the most first."""
        stages: list[Document] = [
            {"$match": {"raised_at": {"$gt": since_ms - 1}}},
            {"$group": {"_id": "$rule", "count": {"$sum": 1}, "last": {"$max": "$raised_at"}}},
        ]
        with translated("alert_counts"):
            found = await (await self._alerts.aggregate(stages)).to_list()
        hits = await self._hits_of([one["_id"] for one in found])
        counts = [
            RuleCount(one["_id"], one["count"], one["last"], max(one["count"], hits.get(one["_id"], 0)))
            for one in found
        ]
        return sorted(counts, key=lambda one: (-one.count, one.rule))

    async def _hits_of(self, rules: list[str]) -> dict[str, int]:
        stages: list[Document] = [
            {"$match": {"rule": {"$in": rules}}},
            {"$group": {"_id": "$rule", "hits": {"$sum": "$hits"}}},
        ]
        with translated("rule_hits"):
            found = await (await self._hits.aggregate(stages)).to_list()
        return {one["_id"]: int(one["hits"]) for one in found}

    # --- deliveries -------------------------------------------------------------------------------------------------

    async def deliveries(self, walk: DeliveryWalk, after: Place | None, limit: int) -> list[Delivery]:
        """Up to `limit` deliveries that come after the place `after`, newest first."""
        return await _page(self._deliveries, queries(walk, "created_at", after), "created_at", limit, Delivery)

    async def of_alert(self, alert: StoredAlert) -> list[Delivery]:
        """The deliveries of an alert, by destination."""
        ids = [delivery_id(alert.id, name) for name in alert.destinations]
        with translated("deliveries"):
            found = await self._deliveries.find({"_id": {"$in": ids}}).sort("_id", ASCENDING).to_list()
        return msgspec.convert(found, list[Delivery])

    async def delivery(self, id_: str) -> Delivery | None:
        with translated("delivery"):
            found = await self._deliveries.find_one({"_id": id_})
        return None if found is None else msgspec.convert(found, Delivery)

    async def insert(self, delivery: Delivery) -> None:
        """Store a delivery that somebody called for."""
        with translated("insert_delivery"):
            await self._deliveries.insert_one(msgspec.to_builtins(delivery, builtin_types=(datetime,)))

    async def call_for(self, id_: str, now_ms: int) -> bool:
        """Have a delivery made anew, by itself, at once; False where something is still to be done about it."""
        fields = {
            "state": DeliveryState.PENDING.value,
            "due_at": Int64(now_ms),
            "tries": 0,
            "missed_since": None,
            "parts_done": 0,
            "message": None,
            "detail": None,
            "delivered_at": None,
        }
        with translated("redeliver"):
            result = await self._deliveries.update_one({"_id": id_, "state": {"$in": _DONE}}, {"$set": fields})
        return result.matched_count == 1

    # --- destinations -----------------------------------------------------------------------------------------------

    async def health(self) -> dict[str, DestinationHealth]:
        """How destinations do, by name; those that nothing was ever sent to are left out."""
        with translated("destinations"):
            found = await self._destinations.find().to_list()
        return {one.id: one for one in msgspec.convert(found, list[DestinationHealth])}

    async def _mark(self, where: Document, fields: Document) -> None:
        with translated("mark_alert"):
            await self._alerts.update_one(where, {"$set": fields})


def _of(store: Store, name: str) -> AsyncCollection[Document]:
    return store.database.get_collection(
        name, CodecOptions(tz_aware=True), write_concern=WriteConcern("majority", j=True)
    )


async def _page(
    collection: AsyncCollection[Document], wanted: list[Document], time: str, limit: int, type_: type[T]
) -> list[T]:
    found: list[Document] = []
    with translated(collection.name):
        for query in wanted:
            sort = [(time, DESCENDING), ("_id", ASCENDING)]
            cursor = collection.find(query, sort=sort, limit=limit - len(found))
            found += await cursor.batch_size(limit + 1).to_list()
            if len(found) == limit:
                break
    return msgspec.convert(found, list[type_])  # type: ignore[valid-type]  # a type that is known at the call
