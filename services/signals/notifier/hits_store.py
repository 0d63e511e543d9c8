"""How often rules held: the same text sent again is no other alert, but another hit."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from bson.int64 import Int64
from pymongo import UpdateOne

from common.contracts import position_id
from common.kafka.batches import Partition
from signals.notifier.mongo import Document, Documents, translated, with_ids
from signals.notifier.reading import Place


class HitsStore:
    """Each partition counts for itself, and knows how far: what is read twice counts once."""

    def __init__(self, hits: Documents) -> None:
        self._hits = hits

    async def count(self, partition: Partition, places: Sequence[Place], next_offset: int, expires: datetime) -> None:
        """Count the alerts of a batch.

        Raises:
            TryLater: MongoDB is away; done again, what was counted is not counted twice.
        """
        by_rule: dict[str, list[Place]] = defaultdict(list)
        for place in places:
            by_rule[f"{position_id(*partition)} {place.alert.rule}"].append(place)
        known = {document["_id"]: int(document["offset"]) for document in await with_ids(self._hits, by_rule)}
        writes = list(_writes(by_rule, known, next_offset, expires))
        if writes:
            with translated("hits"):
                await self._hits.bulk_write(writes, ordered=False)


def _writes(
    by_rule: Mapping[str, Sequence[Place]], known: Mapping[str, int], next_offset: int, expires: datetime
) -> Iterator[UpdateOne]:
    for id_, places in by_rule.items():
        new = [place.alert for place in places if place.offset >= known.get(id_, 0)]
        if new:
            fields: Document = {"rule": new[0].rule, "offset": Int64(next_offset), "expires": expires}
            last_at = Int64(max(alert.raised_at for alert in new))
            yield UpdateOne(
                {"_id": id_},
                {"$inc": {"hits": Int64(len(new))}, "$max": {"last_at": last_at}, "$set": fields},
                upsert=True,
            )
