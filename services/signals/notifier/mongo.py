"""How the notifier speaks to MongoDB: the driver's errors translated, structs as documents."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Final

import msgspec
from pymongo import InsertOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError

from common import mongo

SERVICE: Final = "notifier"

_PER_CALL: Final = 100  # SecantusDB's time for an $in grows with the square of its length
_DUPLICATE: Final = 11000

Document = dict[str, Any]
Documents = AsyncCollection[Document]


def document_of(struct: msgspec.Struct) -> Document:
    """A struct as BSON takes it."""
    document: Document = msgspec.to_builtins(struct, builtin_types=(datetime,))
    return document


def translated(operation: str) -> AbstractContextManager[None]:
    """Time an operation and turn the driver's exceptions into ours, see `common.mongo`."""
    return mongo.translated(SERVICE, operation)


def parts(ids: Sequence[str]) -> Iterator[list[str]]:
    """`ids` in lists that a server finds in good time."""
    return (list(ids[start : start + _PER_CALL]) for start in range(0, len(ids), _PER_CALL))


async def with_ids(collection: Documents, ids: Collection[str], fields: Document | None = None) -> list[Document]:
    """The documents of `ids` that there are.

    Raises:
        TryLater: MongoDB is away.
    """
    found: list[Document] = []
    for part in parts(list(ids)):
        with translated("find"):
            found += await collection.find({"_id": {"$in": part}}, fields).to_list()
    return found


async def insert(collection: Documents, structs: Sequence[msgspec.Struct]) -> set[str]:
    """Store `structs`; those that are there stay as they are. Returns the ids of those that were not.

    Raises:
        TryLater: some or all may not have been stored.
    """
    documents = [document_of(struct) for struct in structs]
    inserted = {str(document["_id"]) for document in documents}
    if not documents:
        return inserted
    with translated("insert"):
        try:
            await collection.bulk_write([InsertOne(document) for document in documents], ordered=False)
        except BulkWriteError as error:
            failures = error.details["writeErrors"]
            if error.details["writeConcernErrors"] or any(one["code"] != _DUPLICATE for one in failures):
                raise
            inserted -= {str(documents[one["index"]]["_id"]) for one in failures}
    return inserted
