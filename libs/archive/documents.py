"""The documents that nothing else holds: the only importer of MongoDB's driver here, which translates its errors."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from bson import json_util
from pymongo import ASCENDING, InsertOne, WriteConcern
from pymongo.errors import BulkWriteError, PyMongoError

from common.analytics import SAVED
from common.contracts import Collections
from common.mongo import check_mongo, client_of, failure_of
from common.settings import MongoSettings

KEPT: Final = (Collections.ALERTS, Collections.DELIVERIES, Collections.REJECTED, SAVED)
"""What people and the outside world made, in the order in which it is read; it is put back in the reverse one.

An alert that is known has its deliveries: the notifier stores these first. So they are read after their alerts, and put
back before them. Not kept are the other collections: records, positions and generations come anew from the log, how
destinations do is found out again, and results of queries are gone within a day.
"""

_DUPLICATE: Final = 11000
_PAGE: Final = 1_000


class DocumentArchive:
    """Reads and puts back documents; an id that is there stays as it is."""

    def __init__(self, settings: MongoSettings) -> None:
        self._settings = settings
        self._client = client_of(settings, "backup")
        self._database = self._client[settings.mongo_database]

    async def start(self) -> None:
        """Make sure that MongoDB lets us in.

        Raises:
            TryLater: it is away.
            CannotStart: it does not.
        """
        await check_mongo(self._client, self._settings)

    async def close(self) -> None:
        await self._client.close()

    async def read(self, collection: str) -> AsyncIterator[str]:
        """Every document as Extended JSON, by id.

        Raises:
            TryLater: MongoDB is away.
            CannotStart: MongoDB does not let us in; so with all that follows here.
        """
        # In pages, each a query of its own: one cursor's time on the server would count against a single timeout.
        last: dict[str, Any] = {}
        while page := await self._page(collection, last):
            for one in page:
                yield json_util.dumps(one, json_options=json_util.CANONICAL_JSON_OPTIONS)
            last = {"_id": {"$gt": page[-1]["_id"]}}

    async def _page(self, collection: str, where: Mapping[str, Any]) -> list[dict[str, Any]]:
        with _translated("a backup"):
            return await self._database[collection].find(where).sort("_id", ASCENDING).limit(_PAGE).to_list()

    async def put(self, collection: str, documents: Sequence[str]) -> int:
        """Store those whose ids are not there; returns how many.

        Raises:
            TryLater: MongoDB is away; some may have been stored.
        """
        writes = [InsertOne(json_util.loads(one)) for one in documents]
        kept = self._database.get_collection(collection, write_concern=WriteConcern("majority", j=True))
        with _translated("a restore"):
            try:
                return (await kept.bulk_write(writes, ordered=False)).inserted_count if writes else 0
            except BulkWriteError as error:
                failures = error.details["writeErrors"]
                if error.details["writeConcernErrors"] or any(one["code"] != _DUPLICATE for one in failures):
                    raise
                return len(writes) - len(failures)


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except PyMongoError as error:
        raise failure_of(doing, error) from error
