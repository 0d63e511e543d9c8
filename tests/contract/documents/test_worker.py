"""Claims on the handler of a batch, on real servers: what it stores, puts aside and erases, and its position."""

from typing import Any

import msgspec
import pytest

from common.contracts import RECORDS, REJECTED, RecordB, Stream
from common.errors import Reposition
from common.kafka.batches import Batch, Logged, Partition
from common.kafka.replay import Replay

PARTITION = Partition(RECORDS[Stream.B], 0)
SENT_MS = 1_790_000_000_000


def a_record(offset: int, record_id: str, **fields: Any) -> Logged:
    known = {"id": record_id, "a_id": "a", "number": 1.0, "text": "t", "event_time": 5, "ingested_at": 5}
    return Logged(offset, record_id.encode(), msgspec.json.encode(RecordB(**{**known, **fields})), SENT_MS)


def batch(*entries: Logged) -> Batch:
    return Batch(PARTITION, entries[0].offset, entries)


async def put_aside(settings) -> list[tuple[bytes | None, bytes | None]]:
    """What stands in records.rejected: key and value."""
    replay = Replay(settings)
    await replay.start()
    found = []
    for number in range(3):
        partition = Partition(REJECTED, number)
        start, end = await replay.bounds(partition)
        if end > start:
            found += [(one.key, one.value) for one in await replay.read(partition, start, end - start)]
    await replay.stop()
    return found


async def test_a_batch_is_stored_and_then_the_position_moved(worker, database) -> None:
    """Of each id the newest version; the position says which offset is next."""
    await worker.apply(
        batch(a_record(0, "x", text="old"), a_record(1, "y"), a_record(2, "x", text="new", event_time=6))
    )
    texts = {one["_id"]: one["text"] async for one in database.b.find()}
    assert texts == {"x": "new", "y": "t"}
    assert await worker.positions([PARTITION]) == {PARTITION: 3}


async def test_a_batch_that_another_has_applied_changes_nothing(worker, database) -> None:
    """The position is another one than was believed, and the worker is told to ask for it again."""
    await worker.apply(batch(a_record(0, "x", text="new", event_time=6)))
    with pytest.raises(Reposition):
        await worker.apply(batch(a_record(0, "x", text="old")))
    (document,) = await database.b.find().to_list()
    assert document["text"] == "new"
    assert await worker.positions([PARTITION]) == {PARTITION: 1}


async def test_what_is_no_record_is_put_aside_and_the_others_are_stored(worker, database, fresh_kafka) -> None:
    """With its bytes, under its place in the log."""
    await worker.apply(batch(Logged(0, b"x", b"{"), a_record(1, "y")))
    assert [one["_id"] async for one in database.b.find()] == ["y"]
    assert await put_aside(fresh_kafka) == [(b"records.b/0/0", b"{")]
    assert await worker.positions([PARTITION]) == {PARTITION: 2}


async def test_what_no_document_can_hold_is_put_aside_too(worker, database, fresh_kafka) -> None:
    """The store refuses it: an id that is no key of an index."""
    long = "x" * 17_000_000
    await worker.apply(batch(a_record(0, "x", text=long), a_record(1, "y")))
    assert [one["_id"] async for one in database.b.find()] == ["y"]
    ((key, _),) = await put_aside(fresh_kafka)
    assert key == b"records.b/0/0"


async def test_an_erasure_leaves_what_was_refused_after_it(worker, database) -> None:
    """However late it is applied: what counts is when the id was erased, which the tombstone says."""
    refused = {"stream": "b", "record_id": "x"}
    await database.rejected.insert_many(
        [{"_id": f"t/{n}", "rejected_at": SENT_MS + n * 60_000, **refused} for n in (-1, 1)]
    )
    await worker.apply(batch(a_record(0, "x"), Logged(1, b"x", None, SENT_MS)))
    assert [one["_id"] async for one in database.rejected.find()] == ["t/1"]
    assert [one["_id"] async for one in database.b.find({"event_time": {"$exists": True}})] == []
