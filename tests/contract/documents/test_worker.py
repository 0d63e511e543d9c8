"""Claims on documents and positions in a real server of MongoDB's protocol."""

from datetime import UTC
from itertools import permutations
from typing import Any

import pytest

from common.contracts import Stream
from common.errors import Reposition
from common.kafka.batches import Partition
from documents.store import INDEXES

HOSTILE_TEXTS = [
    "",
    "$number",
    "$$ROOT",
    "$$NOW",
    '{"$set": {"number": 0}}',
    "a\0b",
    "\0",
    "\u202eright to left",
    "é vs e\u0301",
    "😀" * 1000,
    "x" * 65_536,
]

PARTITION = Partition("records.b", 0)
NOW_MS = 1_790_000_000_000


async def records_of(database: Any) -> list[str]:
    """The ids that have a record, in order: those that were erased have a mark alone."""
    found = await database.b.find({"event_time": {"$exists": True}}).sort("_id").to_list()
    return [one["_id"] for one in found]


@pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=ascii)
async def test_a_text_reads_back_as_it_was(store, database, upsert, text: str) -> None:
    """Whatever a text looks like, it is stored and compared as a text; so are ids and parents."""
    cut = text[:256]
    await store.upsert(Stream.B, [upsert(id=cut, a_id=cut, text=text)])
    await store.upsert(Stream.B, [upsert(id=cut, a_id=cut, text=text, number=2.0, event_time=6)])
    documents = await database.b.find().to_list()
    assert [(one["_id"], one["a_id"], one["text"], one["number"]) for one in documents] == [(cut, cut, text, 2.0)]


async def test_the_greatest_version_wins_in_any_order(store, database, upsert) -> None:
    """Event time decides, then ingestion, then the hash; first_seen is the smallest event time of all."""
    versions = [
        upsert(event_time=5, ingested_at=9, text="old"),
        upsert(event_time=7, ingested_at=2, text="one"),
        upsert(event_time=7, ingested_at=2, text="other"),
        upsert(event_time=7, ingested_at=1, text="early"),
    ]
    greatest = max(versions, key=lambda one: one.version)
    for number, order in enumerate(permutations(versions)):
        record_id = f"x{number}"
        for version in order:
            version.record.id = record_id
            await store.upsert(Stream.B, [version])
        document = await database.b.find_one({"_id": record_id})
        assert document == {
            "_id": record_id,
            "a_id": "a",
            "number": 1.0,
            "text": greatest.record.text,
            "event_time": 7,
            "ingested_at": 2,
            "content_hash": greatest.version.content_hash,
            "first_seen": 5,
        }


async def test_the_same_version_again_changes_nothing(store, database, upsert) -> None:
    """A redelivery is no event."""
    await store.upsert(Stream.B, [upsert()])
    before = await database.b.find_one()
    await store.upsert(Stream.B, [upsert()])
    assert await database.b.find_one() == before


async def test_an_older_version_lowers_first_seen_and_nothing_else(store, database, upsert) -> None:
    await store.upsert(Stream.B, [upsert(text="new", number=9.0, a_id="new", event_time=5)])
    before = await database.b.find_one()
    await store.upsert(Stream.B, [upsert(text="old", number=1.0, a_id="old", event_time=4)])
    assert await database.b.find_one() == before | {"first_seen": 4}


async def test_a_fold_brings_its_own_first_seen(store, database, upsert) -> None:
    """Versions that a batch left out have been seen all the same."""
    await store.upsert(Stream.B, [upsert(event_time=5)._replace(first_seen=2)])
    assert (await database.b.find_one())["first_seen"] == 2


async def test_integers_are_int64_however_small(store, database, upsert) -> None:
    """Readers with a schema find one type per field."""
    await store.upsert(Stream.B, [upsert(event_time=0, ingested_at=0)])
    await store.move(PARTITION, 0, 1)
    longs = {name: {"$type": "long"} for name in ("event_time", "ingested_at", "content_hash", "first_seen")}
    assert await database.b.count_documents({**longs, "number": {"$type": "double"}}) == 1
    assert await database.positions.count_documents({"offset": {"$type": "long"}}) == 1


async def test_many_are_written_and_refused_each_by_itself(store, database, upsert) -> None:
    """One that the store will never take keeps none of the others back, and is told apart over several calls."""
    await database.a.drop()
    await database.create_collection("a", validator={"text": {"$ne": "refuse me"}})
    bad = {3, 250, 599}
    versions = [upsert(id=f"x{n}", text="refuse me" if n in bad else "t") for n in range(600)]
    refused = await store.upsert(Stream.A, versions)
    assert [(one.record.id, "validation" in detail) for one, detail in refused] == [
        ("x3", True),
        ("x250", True),
        ("x599", True),
    ]
    assert await database.a.count_documents({}) == 597


async def test_one_that_no_document_can_hold_is_refused_alone(store, database, upsert) -> None:
    """MongoDB's documents end at 16 MiB."""
    versions = [upsert(id="small"), upsert(id="large", text="x" * 17_000_000), upsert(id="other")]
    refused = await store.upsert(Stream.B, versions)
    assert [one.record.id for one, _ in refused] == ["large"]
    assert await database.b.count_documents({}) == 2


async def test_one_that_the_driver_cannot_encode_is_refused_alone(store, database, upsert) -> None:
    """The driver names no culprit: it is found all the same."""
    versions = [upsert(id=f"x{n}") for n in range(9)]
    versions[5].record.text = "\ud800"
    refused = await store.upsert(Stream.B, versions)
    assert [one.record.id for one, _ in refused] == ["x5"]
    assert await database.b.count_documents({}) == 8


async def test_nothing_to_write_is_nothing_to_do(store) -> None:
    assert await store.upsert(Stream.B, []) == []
    await store.erase(Stream.B, {}, NOW_MS)


async def test_erased_documents_are_gone_and_may_come_again(store, database, upsert) -> None:
    """An id that is written after its erasure begins anew: first_seen too."""
    await store.upsert(Stream.B, [upsert(event_time=1), upsert(id="y")])
    await store.erase(Stream.B, {"x": 1, "was never there": 2}, NOW_MS)
    assert await records_of(database) == ["y"]
    await store.upsert(Stream.B, [upsert(offset=3, event_time=3)])
    assert (await database.b.find_one({"_id": "x"}))["first_seen"] == 3


async def test_what_stands_before_a_tombstone_never_comes_back(store, database, upsert) -> None:
    """However late a worker that was overtaken writes it, before the id is sent anew or after."""
    late = upsert(offset=0, event_time=9, text="erased")
    await store.erase(Stream.B, {"x": 1}, NOW_MS)
    await store.upsert(Stream.B, [late])
    assert await records_of(database) == []
    await store.upsert(Stream.B, [upsert(offset=2, text="new")])
    await store.upsert(Stream.B, [late])
    assert (await database.b.find_one({"_id": "x"}))["text"] == "new"


async def test_a_tombstone_that_comes_late_leaves_what_was_sent_since(store, database, upsert) -> None:
    """An overtaken worker may erase again what another has already erased and stored anew."""
    await store.erase(Stream.B, {"x": 1}, NOW_MS)
    await store.upsert(Stream.B, [upsert(offset=2)])
    await store.erase(Stream.B, {"x": 1}, NOW_MS)
    assert await records_of(database) == ["x"]
    await store.erase(Stream.B, {"x": 3}, NOW_MS)
    assert await records_of(database) == []


async def test_the_mark_of_an_erased_id_goes_by_itself(store, database) -> None:
    """It holds the id, and is of no use once nobody can be about to write what came before; records stay."""
    await store.erase(Stream.B, {"x": 1}, NOW_MS)
    indexes = await database.b.index_information()
    assert indexes["erased_at_1"]["expireAfterSeconds"] == 86_400
    assert (await database.b.find_one({"_id": "x"}))["erased_at"].replace(tzinfo=UTC).timestamp() * 1000 == NOW_MS


async def test_streams_are_apart(store, database, upsert) -> None:
    """An id of A and the same id of B are two things."""
    await store.upsert(Stream.A, [upsert(text="of a")])
    await store.upsert(Stream.B, [upsert(text="of b")])
    assert [(await database[name].find_one())["text"] for name in ("a", "b")] == ["of a", "of b"]


async def test_the_indexes_are_there_and_making_them_again_is_no_matter(store, database) -> None:
    await store.prepare()
    made = {tuple(index["key"].items()) for index in await (await database.b.list_indexes()).to_list()}
    assert made == {(("_id", 1),)} | {tuple(index.document["key"].items()) for index in INDEXES[Stream.B]}


async def test_a_position_moves_from_where_it_is_believed_to_be(store) -> None:
    assert await store.positions([PARTITION]) == {}
    await store.move(PARTITION, 0, 5)
    await store.move(PARTITION, 5, 9)
    assert await store.positions([PARTITION, Partition("records.b", 1)]) == {PARTITION: 9}


@pytest.mark.parametrize("believed", [0, 4, 6])
async def test_a_position_that_is_another_is_left_alone(store, believed: int) -> None:
    """Another worker moved it, or the server lost what moved it: the store is asked again."""
    await store.move(PARTITION, 0, 5)
    with pytest.raises(Reposition):
        await store.move(PARTITION, believed, 7)
    assert await store.positions([PARTITION]) == {PARTITION: 5}


async def test_a_position_that_was_lost_altogether_is_noticed(store, database) -> None:
    """A server that came back without it must not be written past the gap."""
    await store.move(PARTITION, 0, 5)
    await database.positions.delete_many({})
    with pytest.raises(Reposition):
        await store.move(PARTITION, 5, 7)
    assert await store.positions([PARTITION]) == {}


async def test_positions_of_partitions_are_apart(store) -> None:
    """A topic's name and the partition's number make the id; "b/1" and "b/11" are two."""
    await store.move(Partition("records.b", 1), 0, 5)
    await store.move(Partition("records.b", 11), 0, 6)
    await store.move(Partition("records.a", 1), 0, 7)
    assert await store.positions([Partition("records.b", 1)]) == {Partition("records.b", 1): 5}


async def test_two_workers_that_both_begin_do_not_both_win(store) -> None:
    await store.move(PARTITION, 0, 5)
    with pytest.raises(Reposition):
        await store.move(PARTITION, 0, 5)


async def test_a_lookup_of_an_a_scans_no_collection(store, database, upsert) -> None:
    """The indexes are the ones that the questions need."""
    await store.upsert(Stream.B, [upsert(id=f"x{n}", a_id=f"a{n % 3}", event_time=n) for n in range(30)])
    cursor = database.b.find({"a_id": "a1"}).sort([("event_time", -1), ("_id", 1)])
    assert "COLLSCAN" not in str((await cursor.explain())["queryPlanner"]["winningPlan"])
