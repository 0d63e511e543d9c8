"""The documents, to hold other stores against: the only importer of MongoDB's driver here, which translates its errors.

Read for an audit, and for nothing else: windows and tables are filled and serve while MongoDB is away.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import msgspec
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import PyMongoError

from common import metrics
from common.contracts import RECORD, RECORDS, STORED, Collections, Record, StoredA, Stream, position_id
from common.errors import TryLater
from common.mongo import client_of, is_refusal
from common.settings import MongoSettings

_IDS_PER_FIND: Final = 100  # SecantusDB's time for an $in grows with the square of its length
_FIELDS: Final = {"unique_identifier": "_id", "Stream_A_unique_identifier": "a_id"}


class Stretch(NamedTuple):
    """Documents that follow each other in the order of their ids, by id; those of erased ids are left out."""

    documents: Mapping[str, StoredA]
    last: str | None
    """The last id that was looked at; None at the end of all."""


class Documents:
    """The documents of one stream as they stand; an async context manager that is connected for as long as it lasts."""

    def __init__(self, settings: MongoSettings, stream: Stream, service: str) -> None:
        """`service`: who looks, for metrics and for the server's own log."""
        self._stream = stream
        self._service = service
        self._client = client_of(settings, service)
        self._database = self._client[settings.mongo_database]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.close()

    async def find(self, ids: Collection[str]) -> dict[str, Record]:
        """The newest version of each of `ids`, as the record that it was; those that do not exist are left out.

        Raises:
            TryLater: MongoDB is away; so with all that follows here.
        """
        wanted = list(ids)
        parts = [wanted[first : first + _IDS_PER_FIND] for first in range(0, len(wanted), _IDS_PER_FIND)]
        with self._translated("audit_find"):
            of = self._database[await self._collection()]
            return self._records([one for part in parts for one in await of.find({"_id": {"$in": part}}).to_list()])

    async def newest_of(self, a_ids: Collection[str], limit: int) -> dict[str, Record]:
        """Of each of these A its `limit` newest B."""
        order = [("event_time", DESCENDING), ("_id", ASCENDING)]
        with self._translated("audit_children"):
            of = self._database[await self._collection()]
            found = [one for a_id in a_ids for one in await of.find({"a_id": a_id}).sort(order).limit(limit).to_list()]
        return self._records(found)

    async def stretch(self, after: str, limit: int) -> Stretch:
        """Up to `limit` documents, whole, whose ids come behind `after`; "" for the first."""
        with self._translated("audit_stretch"):
            of = self._database[await self._collection()]
            found = await of.find({"_id": {"$gt": after}}).sort("_id", ASCENDING).limit(limit).to_list()
        whole = {one["_id"]: msgspec.convert(one, STORED[self._stream]) for one in found if "event_time" in one}
        return Stretch(whole, found[-1]["_id"] if len(found) == limit else None)

    async def positions(self, partitions: int) -> dict[int, int]:
        """The next offset that the documents will take in, by partition; 0 where there is none."""
        names = {position_id(RECORDS[self._stream], number): number for number in range(partitions)}
        with self._translated("audit_positions"):
            found = await self._database[Collections.POSITIONS].find({"_id": {"$in": list(names)}}).to_list()
        return dict.fromkeys(range(partitions), 0) | {names[one["_id"]]: one["offset"] for one in found}

    async def _collection(self) -> str:
        """Where the documents lie that answer now."""
        generation = await self._database[Collections.GENERATIONS].find_one({"_id": self._stream.value})
        return Collections.of(self._stream, 0 if generation is None else generation["number"])

    def _records(self, documents: list[dict[str, Any]]) -> dict[str, Record]:
        # An id that was erased has a document without a record.
        found = [one for one in documents if "event_time" in one]
        named = [one | {field: one[stored] for field, stored in _FIELDS.items() if stored in one} for one in found]
        return {one["_id"]: msgspec.convert(one, RECORD[self._stream]) for one in named}

    @contextmanager
    def _translated(self, operation: str) -> Iterator[None]:
        with metrics.store_call(self._service, operation):
            try:
                yield
            except PyMongoError as error:
                what = "does not let us in for" if is_refusal(error) else "did not take part in"
                raise TryLater(f"MongoDB {what} {operation}: {type(error).__name__}") from error
