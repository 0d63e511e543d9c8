"""What is open and what left, in MongoDB: who is at it, and what became of it.

A claim lets two notifiers that both believe to be at a destination send nothing twice: who sends holds the claim, and
what came of it is only written by who still holds it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from bson.int64 import Int64
from pymongo import ASCENDING, DESCENDING, ReplaceOne, UpdateMany

from common.deliveries import Delivery, DeliveryKind, DeliveryState, DestinationHealth, delivery_id
from signals.notifier.mongo import Document, Documents, document_of, insert, parts, translated
from signals.notifier.outcomes import without_answers


class Left(NamedTuple):
    """What last left about a rule."""

    at: int  # ms since the epoch; 0: nothing
    window_until: int | None


class DeliveryStore:
    """All deliveries, and how destinations do. Every call raises TryLater where MongoDB is away."""

    def __init__(self, deliveries: Documents, destinations: Documents) -> None:
        self._deliveries = deliveries
        self._destinations = destinations

    async def insert(self, deliveries: Sequence[Delivery]) -> set[str]:
        """Store deliveries; those that are there stay as they are. Returns the ids of those that were not."""
        return await insert(self._deliveries, deliveries)

    # --- what is open -----------------------------------------------------------------------------------------------

    async def due(self, destination: str, now_ms: int, limit: int, kind: DeliveryKind | None = None) -> list[Delivery]:
        """Deliveries that are due, the first first; all of them or those of one kind."""
        query: Document = {"destination": destination, "due_at": {"$gt": 0, "$lte": now_ms}}
        if kind is not None:
            query["kind"] = kind.value
        with translated("due"):
            found = await self._deliveries.find(query).sort("due_at", ASCENDING).limit(limit).to_list()
        return sorted(msgspec.convert(found, list[Delivery]), key=lambda one: (one.created_at, one.id))

    async def held(self, destination: str, me: str, now_ms: int, limit: int) -> list[Delivery]:
        """Deliveries that are due for a digest and that I do not have, the first first."""
        query: Document = {"destination": destination, "due_at": {"$gt": 0, "$lte": now_ms}}
        query |= {"state": DeliveryState.HELD.value, "claimed_by": {"$ne": me}}
        with translated("held"):
            found = await self._deliveries.find(query).sort("due_at", ASCENDING).limit(limit).to_list()
        return msgspec.convert(found, list[Delivery])

    async def unclaimed(self, limit: int) -> set[str]:
        """The destinations of the newest that were stored by others than who sends there: of so many, not of all.

        There may be a hundred thousand where a destination is down.
        """
        query: Document = {"state": DeliveryState.NEW.value, "claimed_by": None}
        with translated("unclaimed"):
            newest = self._deliveries.find(query, {"destination": 1}).sort("created_at", DESCENDING).limit(limit)
            return {document["destination"] for document in await newest.to_list()}

    async def claimed_elsewhere(self, destination: str, me: str, now_ms: int) -> int:
        """Until when others hold claims on open deliveries, in ms since the epoch; 0 where nobody does."""
        query = {
            "destination": destination,
            "due_at": {"$gt": 0},
            "claimed_until": {"$gt": now_ms},
            "claimed_by": {"$ne": me},
        }
        with translated("claims"):
            found = await self._deliveries.find(query).sort("claimed_until", DESCENDING).limit(1).to_list()
        return int(found[0]["claimed_until"]) if found else 0

    async def claim(self, ids: Sequence[str], me: str, now_ms: int, until_ms: int) -> set[str]:
        """Take those of `ids` that are due and nobody else's; returns them."""
        claimed: set[str] = set()
        for part in parts(ids):
            where = {
                "_id": {"$in": part},
                "due_at": {"$gt": 0, "$lte": now_ms},
                "$or": [{"claimed_by": me}, {"claimed_until": {"$lte": now_ms}}],
            }
            with translated("claim"):
                taken = {"claimed_by": me, "claimed_until": Int64(until_ms)}
                result = await self._deliveries.update_many(where, {"$set": taken})
            if result.matched_count == len(part):
                claimed.update(part)
                continue
            mine = {"claimed_by": me, "claimed_until": until_ms}
            with translated("claim"):
                found = await self._deliveries.find({"_id": {"$in": part}, **mine}, {"_id": 1}).to_list()
            claimed.update(document["_id"] for document in found)
        return claimed

    async def release(self, destination: str, me: str) -> None:
        """Give up all claims on what is open of a destination."""
        where = {"destination": destination, "due_at": {"$gt": 0}, "claimed_by": me}
        with translated("release"):
            await self._deliveries.update_many(where, {"$set": {"claimed_by": None, "claimed_until": 0}})

    async def give_back(self, ids: Sequence[str], me: str) -> None:
        """Give up claims on what was stored for a lane that has ended meanwhile."""
        for part in parts(ids):
            where = {"_id": {"$in": part}, "due_at": {"$gt": 0}, "claimed_by": me}
            with translated("give_back"):
                await self._deliveries.update_many(where, {"$set": {"claimed_by": None, "claimed_until": 0}})

    async def save(self, deliveries: Sequence[Delivery], me: str) -> int:
        """Write deliveries that I hold as they are now; returns how many still were mine.

        One of the same id that was made anew behind an erasure is another one, and so is a notice that was passed on to
        another destination. A digest that told of a record which was
        erased meanwhile is written without what was answered to it.
        """
        silent = [
            msgspec.structs.replace(one, attempts=without_answers(one.attempts), answers_erased=True)
            for one in deliveries
            if one.members
        ]
        saved = await self._replace(deliveries, {"claimed_by": me, "answers_erased": {"$ne": True}})
        return saved + await self._replace(silent, {"claimed_by": me, "answers_erased": True})

    async def _replace(self, deliveries: Sequence[Delivery], where: Document) -> int:
        """Write those of `deliveries` that are so; returns how many."""
        if not deliveries:
            return 0
        writes = [
            ReplaceOne(
                {**where, "_id": one.id, "created_at": one.created_at, "destination": one.destination}, document_of(one)
            )
            for one in deliveries
        ]
        with translated("save"):
            result = await self._deliveries.bulk_write(writes, ordered=False)
        return result.matched_count

    async def save_members(self, digest_id: str, ids: Sequence[str], fields: Document) -> None:
        """Write into all members of a digest what became of it; not into those that were called for by themselves."""
        its: Document = {"message": digest_id, "state": {"$ne": DeliveryState.ERASED.value}}
        writes = [UpdateMany({"_id": {"$in": part}, **its}, {"$set": fields}) for part in parts(ids)]
        with translated("members"):
            await self._deliveries.bulk_write(writes, ordered=False)

    async def delivery(self, id_: str) -> Delivery | None:
        with translated("delivery"):
            found = await self._deliveries.find_one({"_id": id_})
        return None if found is None else msgspec.convert(found, Delivery)

    async def digests_since(self, destination: str, since_ms: int) -> list[Delivery]:
        """The digests that were made for `destination` since then, whatever became of them."""
        query: Document = {"destination": destination, "created_at": {"$gte": since_ms}}
        with translated("digests"):
            found = await self._deliveries.find({**query, "kind": DeliveryKind.DIGEST.value}).to_list()
        return msgspec.convert(found, list[Delivery])

    # --- what stages remember ---------------------------------------------------------------------------------------

    async def last_left(self, destination: str, rule: str) -> Left:
        """When a message about `rule` last left for `destination`; 0 for never."""
        query = {"destination": destination, "rule": rule, "left_at": {"$gt": 0}}
        with translated("last_left"):
            found = await self._deliveries.find(query).sort("left_at", DESCENDING).limit(1).to_list()
        if not found:
            return Left(0, None)
        window_until = found[0]["window_until"]  # an Int64 of BSON's, which is no plain int
        return Left(int(found[0]["left_at"]), None if window_until is None else int(window_until))

    async def left_since(self, destination: str, since_ms: int) -> list[int]:
        """When messages left for `destination` since then; a digest is one."""
        query = {
            "destination": destination,
            "left_at": {"$gt": since_ms},
            "message": None,
            "kind": {"$in": [DeliveryKind.ALERT.value, DeliveryKind.DIGEST.value]},
        }
        with translated("left_since"):
            found = await self._deliveries.find(query, {"left_at": 1}).to_list()
        return [int(document["left_at"]) for document in found]

    # --- how destinations do ----------------------------------------------------------------------------------------

    async def health(self, destination: str) -> DestinationHealth | None:
        with translated("health"):
            found = await self._destinations.find_one({"_id": destination})
        return None if found is None else msgspec.convert(found, DestinationHealth)

    async def put_health(self, health: DestinationHealth) -> None:
        with translated("put_health"):
            await self._destinations.replace_one({"_id": health.id}, document_of(health), upsert=True)

    async def given_up(self) -> dict[str, int]:
        """The destinations that were given up, by name, and which version of each."""
        with translated("given_up"):
            found = await self._destinations.find({"disabled_at": {"$gt": 0}}, {"version": 1}).to_list()
        return {document["_id"]: int(document["version"]) for document in found}

    async def abandon(self, destination: str, why: str, *, unclaimed: bool = False) -> None:
        """Give up everything that is open of a destination, or what nobody holds; but no test where it still is one."""
        open_: Document = {"destination": destination, "due_at": {"$gt": 0}}
        if unclaimed:
            open_ |= {"claimed_by": None, "kind": {"$ne": DeliveryKind.TEST.value}}
        failed = {"state": DeliveryState.FAILED.value, "detail": why}
        closed = {**failed, "due_at": None, "claimed_by": None, "claimed_until": 0}
        with translated("abandon"):
            found = self._deliveries.find({**open_, "kind": DeliveryKind.DIGEST.value}, {"members": 1})
            digests = await found.to_list()
        for digest in digests:
            ids = [delivery_id(alert, destination) for alert in digest["members"]]
            await self.save_members(digest["_id"], ids, failed)
        with translated("abandon"):
            await self._deliveries.update_many(open_, {"$set": closed})

    async def pass_notices_on(self, destination: str, to: str, since_ms: int, now_ms: int) -> None:
        """Have another told what this destination was to be told: its notices that are open, or failed since then."""
        failed = {"state": DeliveryState.FAILED.value, "created_at": {"$gte": since_ms}}
        where = {"kind": DeliveryKind.NOTICE.value, "$or": [{"due_at": {"$gt": 0}}, failed]}
        anew = {"destination": to, "state": DeliveryState.PENDING.value, "due_at": Int64(now_ms), "tries": 0}
        free = {"claimed_by": None, "claimed_until": 0, "parts_done": 0}
        with translated("pass_on"):
            await self._deliveries.update_many({"destination": destination, **where}, {"$set": {**anew, **free}})

    async def destinations_with_open(self) -> list[str]:
        """The destinations that something is to be sent to, whether or not they exist."""
        with translated("destinations"):
            found: list[str] = await self._deliveries.distinct("destination", {"due_at": {"$gt": 0}})
        return found
