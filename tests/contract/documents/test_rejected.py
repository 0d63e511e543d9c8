"""What is put aside in the log stands in MongoDB soon after, once, and goes after its time."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import pytest_asyncio

from common.contracts import REJECTED, Rejection, Stream
from common.errors import Reposition
from common.kafka.batches import Batch, Partition
from common.kafka.rejections import Rejected, Rejections
from common.kafka.replay import Replay
from documents.erasures import Erasure
from documents.rejected import Projection, read_rejected
from documents.rejected_store import RejectedStore

WHY = Rejection(
    code="missing_field",
    detail="text is missing",
    stream="b",
    rejected_by="ingest",
    rejected_at=1_790_000_000_000,
    source="trace-span/0",
    size=3,
)
AT = datetime.fromtimestamp(1_790_000_000, UTC)
AT_MS = WHY.rejected_at


@pytest_asyncio.fixture
async def rejected(store) -> RejectedStore:
    rejected = RejectedStore(store, kept_days=30)
    await rejected.prepare()
    return rejected


@pytest.fixture
def projection(store, rejected) -> Projection:
    return Projection(store, rejected)


@pytest_asyncio.fixture
async def batches(producer, fresh_kafka):
    """Puts records aside as services do, and reads what then stands in the log, as batches."""
    replay = Replay(fresh_kafka)
    await replay.start()

    async def put(*rejected: Rejected) -> list[Batch]:
        await Rejections(producer).put(rejected)
        found = []
        for number in range(3):
            partition = Partition(REJECTED, number)
            start, end = await replay.bounds(partition)
            if end > start:
                found.append(Batch(partition, start, await replay.read(partition, start, end - start)))
        return found

    yield put
    await replay.stop()


async def test_what_is_put_aside_is_stored_with_its_reason_and_its_time(projection, batches, database) -> None:
    for batch in await batches(Rejected("trace-span/0", b'{"unique_identifier": 7}', WHY)):
        await projection.apply(batch)
    stored = await database.rejected.find_one({})
    assert stored.pop("expires_at").replace(tzinfo=UTC) == AT + timedelta(days=30)
    assert stored == {
        "_id": "trace-span/0",
        "code": "missing_field",
        "detail": "text is missing",
        "stream": "b",
        "rejected_by": "ingest",
        "rejected_at": 1_790_000_000_000,
        "size": 3,
        "truncated": False,
        "record_id": "7",
        "value": b'{"unique_identifier": 7}',
        "replay": None,
    }


async def test_what_comes_again_leaves_what_became_of_it(projection, batches, database, store) -> None:
    """A redelivery, or another worker that refuses the same record, must not make it replayable anew."""
    for batch in await batches(Rejected("x/0", b"{", WHY)):
        await projection.apply(batch)
        await database.rejected.update_one({}, {"$set": {"replay": {"owner": "o"}}})
        with pytest.raises(Reposition):
            await projection.apply(batch)
        assert await store.positions([batch.partition]) == {batch.partition: 1}
    assert (await database.rejected.find_one({}))["replay"] == {"owner": "o"}


@pytest.mark.parametrize("value", [b"", b"\xff", b"[1]", b'{"unique_identifier": null}', b'{"unique_identifier": "x'])
def test_what_names_no_id_has_none(value: bytes) -> None:
    """Whatever the bytes are."""
    headers = [("rejection", b'{"code":"c","detail":"d","stream":"a","rejected_by":"i","rejected_at":1,')]
    headers[0] = ("rejection", headers[0][1] + b'"source":"s","size":1}')
    entry = _Entry(b"k", value, headers)
    found = read_rejected(entry)
    assert found is not None
    assert (found.record_id, found.value) == (None, value)


def test_what_none_of_our_services_wrote_is_passed_over() -> None:
    assert read_rejected(_Entry(b"k", b"v", [])) is None
    assert read_rejected(_Entry(b"k", b"v", [("rejection", b"{")])) is None


async def test_those_of_an_id_are_erased(rejected, batches, projection, database) -> None:
    """Those of the other stream under the same id are another's."""
    for batch in await batches(
        Rejected("x/0", b'{"unique_identifier": "x"}', WHY), Rejected("y/0", b'{"unique_identifier": "y"}', WHY)
    ):
        await projection.apply(batch)
    await rejected.erase(Stream.A, {"x": Erasure(7, AT_MS)})
    assert await database.rejected.count_documents({}) == 2
    await rejected.erase(Stream.B, {"x": Erasure(7, AT_MS - 60_000)})  # of before, carried out again
    assert await database.rejected.count_documents({}) == 2
    await rejected.erase(Stream.B, {"x": Erasure(7, AT_MS), "z": Erasure(8, AT_MS)})
    assert [one["_id"] async for one in database.rejected.find()] == ["y/0"]


async def test_an_erasure_reaches_what_is_still_on_its_way(rejected, batches, projection, database) -> None:
    """What was refused before it, by its place in the log or by its time; however often the batch comes."""
    later = msgspec.structs.replace(WHY, rejected_at=AT_MS + 60_000)
    refused = [("trace-span/0", "x", WHY), ("trace-span/1", "x", later), ("trace-span/2", "y", WHY)]
    refused += [("records.b/1/6", "x", later), ("records.b/1/8", "x", WHY)]
    on_their_way = await batches(
        *(Rejected(key, b'{"unique_identifier": "%s"}' % id_.encode(), why) for key, id_, why in refused)
    )
    await rejected.erase(Stream.B, {"x": Erasure(7, AT_MS)})
    await rejected.erase(Stream.B, {"x": Erasure(5, AT_MS + 90_000)})  # an older one that is carried out again
    await rejected.erase(Stream.A, {"y": Erasure(7, AT_MS)})
    for batch in on_their_way:
        await projection.apply(batch)
        with pytest.raises(Reposition):
            await projection.apply(batch)
    left = {one["_id"] async for one in database.rejected.find()}
    assert left == {"trace-span/1", "trace-span/2", "records.b/1/8"}
    mark = await database.erased.find_one({"_id": "b/x"})
    assert mark["expires_at"].replace(tzinfo=UTC) == AT + timedelta(days=30)


@pytest.mark.usefixtures("rejected")
async def test_the_list_scans_no_collection(database) -> None:
    """The newest, all or with a code; and those of an id."""
    for query in ({}, {"code": "c"}, {"rejected_at": {"$lt": 5}}):
        cursor = database.rejected.find(query).sort([("rejected_at", -1), ("_id", 1)])
        assert "COLLSCAN" not in str((await cursor.explain())["queryPlanner"]["winningPlan"]), query


class _Entry:
    """A message of the log."""

    def __init__(self, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        self.offset, self.timestamp = 0, 0
        self.key, self.value, self.headers = key, value, headers
