"""Alerts and the notifier's positions in MongoDB.

Every write asks for `w=majority, j=true`: a position that is behind us must mean deliveries that stay.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec
import pymongo
from bson.codec_options import CodecOptions
from bson.int64 import Int64
from pymongo import ASCENDING, DESCENDING, IndexModel, WriteConcern
from pymongo.errors import DuplicateKeyError

from common.alerts import StoredAlert
from common.contracts import Collections, position_id
from common.errors import Reposition
from common.kafka.batches import Partition
from common.mongo import check_mongo, client_of
from common.settings import MongoSettings
from signals.notifier.delivery_store import DeliveryStore
from signals.notifier.erasure_store import ErasureStore
from signals.notifier.hits_store import HitsStore
from signals.notifier.mongo import SERVICE, insert, translated, with_ids

_EXPIRY: Final = IndexModel([("expires", ASCENDING)], expireAfterSeconds=0)
ALERT_INDEXES: Final = [
    IndexModel([("raised_at", DESCENDING), ("_id", ASCENDING)]),
    IndexModel([("rule", ASCENDING), ("raised_at", DESCENDING), ("_id", ASCENDING)]),
    IndexModel([("a_id", ASCENDING), ("raised_at", DESCENDING), ("_id", ASCENDING)]),
    IndexModel([("record_id", ASCENDING)]),  # what an erasure takes
    _EXPIRY,
]
DELIVERY_INDEXES: Final = [
    IndexModel([("destination", ASCENDING), ("due_at", ASCENDING)]),  # what is open
    IndexModel([("destination", ASCENDING), ("rule", ASCENDING), ("left_at", DESCENDING)]),  # what left last
    IndexModel([("destination", ASCENDING), ("left_at", DESCENDING)]),  # how much left of late
    IndexModel([("created_at", DESCENDING), ("_id", ASCENDING)]),
    IndexModel([("destination", ASCENDING), ("created_at", DESCENDING), ("_id", ASCENDING)]),
    IndexModel([("state", ASCENDING), ("created_at", DESCENDING), ("_id", ASCENDING)]),
    _EXPIRY,
]

_INDEX_TIMEOUT_S: Final = 1800
_FAREWELL_S: Final = 1


class Store:
    """What the notifier writes: alerts, positions and, as `deliveries`, the rest."""

    def __init__(self, settings: MongoSettings) -> None:
        self._settings = settings
        self._client = client_of(settings, SERVICE)
        database = self._client.get_database(
            settings.mongo_database, CodecOptions(tz_aware=True), write_concern=WriteConcern("majority", j=True)
        )
        self._alerts = database[Collections.ALERTS]
        self._positions = database[Collections.POSITIONS]
        self._kept = database[Collections.DELIVERIES]
        self._counted = database[Collections.RULE_HITS]
        self.deliveries = DeliveryStore(self._kept, database[Collections.DESTINATIONS])
        self.erasing = ErasureStore(self._alerts, self._kept)
        self.hits = HitsStore(self._counted)

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
        with translated("prepare"), pymongo.timeout(_INDEX_TIMEOUT_S):
            await self._alerts.create_indexes(ALERT_INDEXES)
            await self._kept.create_indexes(DELIVERY_INDEXES)
            await self._counted.create_indexes([_EXPIRY])

    # --- positions --------------------------------------------------------------------------------------------------

    async def positions(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """The next offset to read of each of `partitions`; those that have none yet are left out."""
        ids = {position_id(*partition): partition for partition in partitions}
        with translated("positions"):
            found = await self._positions.find({"_id": {"$in": list(ids)}}).to_list()
        return {ids[document["_id"]]: document["offset"] for document in found}

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

    # --- alerts -----------------------------------------------------------------------------------------------------

    async def known_alerts(self, ids: Collection[str]) -> dict[str, int | None]:
        """Those of `ids` that are stored already, and the offset of the tombstone that erased their record, if any."""
        found = await with_ids(self._alerts, ids, {"erased_by": 1})
        erased = ((document["_id"], document.get("erased_by")) for document in found)
        return {id_: None if by is None else int(by) for id_, by in erased}

    async def alerts(self, ids: Collection[str]) -> dict[str, StoredAlert]:
        """The alerts of `ids`; those that are not stored are left out."""
        found = msgspec.convert(await with_ids(self._alerts, ids), list[StoredAlert])
        return {alert.id: alert for alert in found}

    async def insert_alerts(self, alerts: Sequence[StoredAlert]) -> None:
        """Store alerts; those that are there stay as they are."""
        await insert(self._alerts, alerts)
