"""The two updates that documents are made of. Pure, but for the driver's type.

Both may be made twice, late or in any order, by workers that were overtaken or thrown back, and into a collection that
is being rebuilt: of two versions the greater one stays, and what a tombstone erased stays erased. For that, an erased
id keeps a document for a day, `{_id, erased_through, erased_at}`: nothing that stands before `erased_through` in the
id's partition of the log is taken any more. A version from behind it makes a document of the id again, which keeps
`erased_through` alone.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bson.int64 import Int64
from pymongo import UpdateOne

from common.contracts import RecordB
from documents.versions import Upsert

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def guarded(upsert: Upsert) -> UpdateOne:
    """An update that makes `upsert` the document of its id unless a greater version is; either way first_seen falls.

    What came from outside stands in a $literal: a text may begin with a dollar, and is no expression for that. Fields
    that are not there yet compare as null, which is less than any number.
    """
    record, version, first_seen, entry = upsert
    ours = [Int64(part) for part in version]
    event_time, ingested_at, content_hash = ours
    document: dict[str, Any] = {"number": record.number}
    if isinstance(record, RecordB):
        document["a_id"] = record.a_id
    document |= {
        "text": record.text,
        "event_time": event_time,
        "ingested_at": ingested_at,
        "content_hash": content_hash,
    }
    greater = {"$gt": [ours, ["$event_time", "$ingested_at", "$content_hash"]]}
    erased = {"$gt": ["$erased_at", None]}
    merged = [
        {"$cond": [erased, {"_id": "$_id", "erased_through": "$erased_through"}, "$$ROOT"]},
        {"$cond": [greater, {"$literal": document}, {}]},
        {"first_seen": {"$min": ["$first_seen", Int64(first_seen)]}},
    ]
    void = {"$lt": [Int64(entry.offset), "$erased_through"]}
    replacement = {"$cond": [void, "$$ROOT", {"$mergeObjects": merged}]}
    return UpdateOne({"_id": record.id}, [{"$replaceWith": replacement}], upsert=True)


def erasure(record_id: str, offset: int, now_ms: int) -> UpdateOne:
    """An update that erases the document of an id, unless it comes from behind the tombstone at `offset`."""
    mark = {
        "_id": "$_id",
        "erased_through": Int64(offset),
        "erased_at": _EPOCH + timedelta(milliseconds=now_ms),
    }
    passed = {"$gte": ["$erased_through", Int64(offset)]}
    return UpdateOne({"_id": record_id}, [{"$replaceWith": {"$cond": [passed, "$$ROOT", mark]}}], upsert=True)
