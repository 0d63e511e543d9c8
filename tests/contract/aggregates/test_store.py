"""What the scripts promise beyond the counts: nothing is left behind, nobody with old knowledge is let in."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from prometheus_client import REGISTRY
from redis import Redis, RedisCluster

from aggregates.changes import read
from aggregates.filling import Gap, fill_batch, gaps
from aggregates.revisions import choose
from aggregates.store import Answer, Found, WindowStore
from aggregates.stream_windows import StreamWindows
from common.clock import ManualClock
from common.contracts import RECORDS, Condition, RecordB, Stream
from common.errors import Reposition, TryLater
from common.kafka.batches import Batch, Logged, Partition
from windows.connection import Connection
from windows.counts import Counts
from windows.layout import HOUR_MS, Generation, Layout, generation_key, held_name
from windows.questions import Question, Window

NOW_MS = 1_795_420_800_000
HORIZON_MS = 24 * HOUR_MS


class Windows(StreamWindows):
    """A stream's windows that are told of conditions by hand."""

    def know(self, conditions: dict[int, str], control: int) -> None:
        self.revisions = choose(self.revisions, control=control, newest=_conditions(conditions), stored={}, whole=set())

    async def take(self, messages: Iterable[RecordB | str], position: int = 0) -> None:
        entries = said(messages, position)
        await self.apply(Batch(Partition(RECORDS[Stream.B], 0), position, entries), read(Stream.B, entries)[0])


def said(messages: Iterable[RecordB | str], position: int) -> list[Logged]:
    """Records, and ids to erase, as they stand in the log."""
    return [
        Logged(position + n, item.encode(), None)
        if isinstance(item, str)
        else Logged(position + n, item.id.encode(), msgspec.json.encode(item))
        for n, item in enumerate(messages)
    ]


def _conditions(expressions: dict[int, str]) -> dict[int, Condition]:
    return {
        n: Condition(name=f"c{n}", stream=Stream.B, expression=expression, per_a=True, created_at=n, changed_at=n)
        for n, expression in expressions.items()
    }


def b(
    record_id: str, number: float = 1.0, *, age_h: float = 0.0, parent: str = "a", lateness_h: float = 0.0
) -> RecordB:
    event_time = NOW_MS - round(age_h * HOUR_MS)
    ingested_at = (event_time + round(lateness_h * HOUR_MS)) * 1000
    return RecordB(id=record_id, a_id=parent, number=number, text="", event_time=event_time, ingested_at=ingested_at)


@pytest.fixture(params=["valkey", "cluster"])
def server(request: pytest.FixtureRequest) -> Any:
    """One alone and three as a cluster: a script that touched keys of two slots would fail on the latter."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def redis(server: Any) -> Redis | RedisCluster:
    client: Redis | RedisCluster = server.client()
    client.flushall()
    return client


@pytest_asyncio.fixture
async def connection(server: Any) -> AsyncIterator[Connection]:
    connection = Connection(server.settings)
    yield connection
    await connection.close()


@pytest.fixture
def store(redis: Redis | RedisCluster, connection: Connection) -> WindowStore:
    generation = Generation(shards=2, partitions=1, horizon_ms=HORIZON_MS)
    redis.set(generation_key("", Stream.B), msgspec.json.encode(generation))
    return WindowStore(connection, Layout("", Stream.B, generation))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW_MS)


@pytest.fixture
def windows(store: WindowStore, clock: ManualClock) -> Windows:
    return Windows(store, Stream.B, clock)


def kinds(redis: Redis | RedisCluster) -> set[str]:
    """What is left, without the names of shards, parents and conditions."""
    return {key.decode().split("}")[-1].split(":")[1] for key in redis.scan_iter(match="{*")}


async def test_trimming_leaves_nothing_behind(
    redis: Redis | RedisCluster, windows: Windows, clock: ManualClock
) -> None:
    """Whatever an id was part of, in slices however small."""
    windows.know({7: "number > 1.0"}, control=8)
    await windows.take(b(f"b{n}", n, parent=f"a{n % 3}") for n in range(30))
    assert kinds(redis) >= {"head", "all", "c", "of", "ev"}
    clock.advance(ms=windows.store.layout.oldest_kept_ms + HOUR_MS)
    calls = 0
    while await windows.store.trim(clock.now_ms() - windows.store.layout.oldest_kept_ms, 4) == 4:
        calls += 1
    assert calls >= 3
    assert kinds(redis) == {"pos", "ev", "conditions", "fill"}
    assert {field for base in windows.store.layout.bases() for field in redis.hkeys(base + ":ev")} == {b"trimmed"}


async def test_trimming_spares_what_is_within_the_horizon(windows: Windows, clock: ManualClock) -> None:
    """An id that was refreshed stays, with everything that it is part of."""
    await windows.take([b("old", age_h=20), b("kept", age_h=20), b("kept", age_h=1)])
    clock.advance(ms=6 * HOUR_MS)
    assert await windows.store.trim(clock.now_ms() - windows.store.layout.oldest_kept_ms, 100) == 1
    question = Question(Stream.B, Window(0), a_id="a")
    assert await windows.store.positions([0]) == {0: 3}
    assert await _count(windows, clock, question) == 1


async def test_an_erased_id_leaves_nothing_behind(redis: Redis | RedisCluster, windows: Windows) -> None:
    """A tombstone takes it out of everything; only that there was a record stays counted."""
    windows.know({7: "number > 1.0"}, control=8)
    await windows.take([b("x", 5), b("y", 5, parent="other")])
    await windows.take(["x", "y"], position=2)
    assert kinds(redis) == {"pos", "ev", "conditions", "fill"}


async def test_late_records_are_counted_as_such(windows: Windows) -> None:
    """Older than the horizon when they were ingested: in no window, but told, in the metrics too."""
    before = told("twinstream_late_records_total", stream="b")
    await windows.take([b("late", age_h=30, lateness_h=25), b("in time", age_h=3, lateness_h=2)])
    assert await windows.store.late(NOW_MS) == 1
    assert told("twinstream_late_records_total", stream="b") == before + 1
    assert await windows.store.late(NOW_MS + 40 * HOUR_MS) == 0


async def test_a_condition_that_fails_on_a_record_is_false_and_told(windows: Windows, clock: ManualClock) -> None:
    """The record is counted all the same, by the other conditions too."""
    windows.know({2: "10 / int(number) > 1", 3: "number < 5.0"}, control=4)
    before = told("twinstream_condition_failures_total", stream="b", condition="c2")
    await windows.take([b("x", 0.0), b("y", 1.0)])
    assert told("twinstream_condition_failures_total", stream="b", condition="c2") == before + 1
    counted = [await _count(windows, clock, Question(Stream.B, Window(0), held=held_name(f"c{n}", n))) for n in (2, 3)]
    assert counted == [1, 2]


def told(metric: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(metric, labels) or 0.0


async def test_whoever_knows_less_of_control_is_refused(store: WindowStore, clock: ManualClock) -> None:
    """A partition that moved to a worker which has not read of a condition yet must not lose records for it."""
    informed, behind = Windows(store, Stream.B, clock), Windows(store, Stream.B, clock)
    informed.know({7: "number > 1.0"}, control=8)
    await informed.take([b("x", 5)])
    with pytest.raises(TryLater, match="knows control up to 8"):
        await behind.take([b("y", 5)], position=1)
    assert behind.stale
    behind.know({7: "number > 1.0"}, control=8)
    await behind.take([b("y", 5)], position=1)
    question = Question(Stream.B, Window(0), held=held_name("c7", 7))
    assert await _count(behind, clock, question) == 2


async def test_a_dropped_revision_does_not_come_back(
    redis: Redis | RedisCluster, store: WindowStore, windows: Windows
) -> None:
    """A worker that still evaluates it is told, at its very next batch."""
    windows.know({7: "number > 1.0"}, control=8)
    await windows.take([b("x", 5)])
    while await store.drop(7, 1):
        pass
    with pytest.raises(TryLater, match="has dropped revision 7"):
        await windows.take([b("y", 5)], position=1)
    assert "c" not in kinds(redis)
    windows.know({9: "number > 1.0"}, control=10)
    await windows.take([b("y", 5)], position=1)
    assert list(redis.scan_iter(match="*:c:*@7")) == []


async def test_a_fill_that_begins_past_what_is_filled_is_refused(windows: Windows, clock: ManualClock) -> None:
    """A server that lost what was filled would answer for records that it has not evaluated."""
    early = [b("x", 5), b("y", 5), b("z", 0)]
    await windows.take(early)
    windows.know({7: "number > 1.0"}, control=8)
    await windows.take([b("live", 5)], position=3)
    question = Question(Stream.B, Window(0), held=held_name("c7", 7))
    (gap,) = gaps(await windows.store.standing(), [7], [0])
    assert gap == Gap(0, 0, 3, (7,))
    for start in (1, 2):
        items = read(Stream.B, said(early[start:], start))[0]
        with pytest.raises(Reposition, match="answers position 0"):
            await fill_batch(windows.store, windows.revisions, gap._replace(start=start), items, 3)
        assert gaps(await windows.store.standing(), [7], [0]) == [gap]
        assert await _count(windows, clock, question) == 1
    for _ in range(2):  # what repeats itself is taken
        await fill_batch(windows.store, windows.revisions, gap, read(Stream.B, said(early, 0))[0], 3)
        assert gaps(await windows.store.standing(), [7], [0]) == []
        assert await _count(windows, clock, question) == 3


async def test_a_server_that_came_back_empty_is_noticed(redis: Redis | RedisCluster, windows: Windows) -> None:
    """Scripts are loaded anew, and the batch is refused: it begins past what is there."""
    await windows.take([b("x")])
    redis.flushall()
    redis.script_flush()
    with pytest.raises(Reposition, match="stands at 0, before 1"):
        await windows.take([b("y")], position=1)


async def test_a_batch_as_large_as_can_be(windows: Windows, clock: ManualClock) -> None:
    """More ids than Lua's stack holds, all under many conditions, each with the longest of parents."""
    windows.know({n: f"number >= {n}.0" for n in range(100)}, control=100)
    await windows.take(b(f"{n:07}", n % 100, parent="ä" * 255 + str(n % 9)) for n in range(10_000))
    assert await _count(windows, clock, Question(Stream.B, Window(0))) == 10_000
    question = Question(Stream.B, Window(0), held=held_name("c50", 50))
    assert await _count(windows, clock, question) == 5_000


async def test_positions_are_the_smallest_of_any_shard(store: WindowStore) -> None:
    """What one shard lacks must be read again."""
    assert await store.positions([0, 5]) == {0: 0, 5: 0}
    none = choose(Windows(store, Stream.B, ManualClock(0)).revisions, control=1, newest={}, stored={}, whole=set())
    assert await store.adopt(none, 0, 3, [0, 1]) == dict.fromkeys([0, 1], Answer(Found.POSITION, 0))


async def test_a_cluster_shares_the_shards(cluster: Any) -> None:
    """Shards lie on more than one node; one round trip asks all of them."""
    with cluster.client() as redis:
        redis.flushall()
        generation = Generation(shards=16, partitions=1, horizon_ms=HORIZON_MS)
        redis.set(generation_key("", Stream.B), msgspec.json.encode(generation))
        connection = Connection(cluster.settings)
        clock = ManualClock(NOW_MS)
        windows = Windows(WindowStore(connection, Layout("", Stream.B, generation)), Stream.B, clock)
        await windows.take(b(f"b{n}") for n in range(200))
        assert min(redis.dbsize(target_nodes=node) for node in redis.get_primaries()) > 0
        assert (await Counts(connection, "", clock).ask([Question(Stream.B, Window(0))])).counts == [200]
        await connection.close()


async def _count(windows: Windows, clock: ManualClock, question: Question) -> int:
    counts = Counts(windows.store._connection, "", clock)
    return (await counts.ask([question])).counts[0]
