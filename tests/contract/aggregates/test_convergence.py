"""Whatever the order, the cuts, the repeats and the losses: every count equals a model of thirty lines."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis, RedisCluster

from aggregates.changes import read
from aggregates.filling import fill_batch, gaps
from aggregates.revisions import choose, superseded
from aggregates.store import WindowStore
from aggregates.stream_windows import StreamWindows
from common.clock import ManualClock
from common.contracts import RECORDS, Condition, RecordB, Stream, version_of
from common.errors import Reposition, TryLater
from common.kafka.batches import Batch, Logged, Partition
from windows.connection import Connection, Script
from windows.counts import Counts
from windows.layout import HOUR_MS, MINUTE_MS, Generation, Layout, generation_key, held_name
from windows.questions import Question, Unit, Window

PARTITIONS = 2
HORIZON_MS = 6 * HOUR_MS
BEGINNING_MS = 1_795_420_800_000
IDS = ("b1", "b2", "b3", "b4", "b5")
PARENTS = ("a1", "a1:c:big@1", "big@1:a1")  # ids that look like the ends of keys
SLICE = 2


@dataclass
class Model:
    """What should be: the log as far as it was delivered, looked at from its beginning each time."""

    logs: dict[int, list[RecordB | str]]
    positions: dict[int, int]

    def delivered(self) -> list[RecordB | str]:
        return [item for p, log in self.logs.items() for item in log[: self.positions[p]]]

    def items(self) -> list[RecordB]:
        newest: dict[str, RecordB] = {}
        for item in self.delivered():
            if isinstance(item, str):
                newest.pop(item, None)
            elif item.id not in newest or version_of(item) > version_of(newest[item.id]):
                newest[item.id] = item
        return list(newest.values())

    def events(self) -> list[RecordB]:
        return [item for item in self.delivered() if isinstance(item, RecordB)]

    def late(self, since_ms: int) -> int:
        return sum(
            record.ingested_at // 1000 - record.event_time > HORIZON_MS and record.ingested_at // 1000 >= since_ms
            for record in self.events()
        )

    def count(self, question: Question, holds: Callable[[RecordB], bool]) -> int:
        events = question.unit is Unit.EVENTS
        window = question.window.aligned() if events else question.window
        return sum(
            window.start_ms <= record.event_time < (window.end_ms or 2**60)
            and question.a_id in {None, record.a_id}
            and holds(record)
            for record in (self.events() if events else self.items())
        )


@dataclass
class World:
    """A log, a clock, control, and workers on a real Valkey."""

    connection: Connection
    redis: Redis | RedisCluster
    shards: int
    clock: ManualClock = field(default_factory=lambda: ManualClock(BEGINNING_MS))
    logs: dict[int, list[RecordB | str]] = field(default_factory=lambda: defaultdict(list))
    control: dict[str, tuple[int, Condition]] = field(default_factory=dict)
    next_control: int = 1
    snapshot: dict[bytes, bytes] = field(default_factory=dict)
    server: Any = None

    def __post_init__(self) -> None:
        self.redis.flushall()
        generation = Generation(shards=self.shards, partitions=PARTITIONS, horizon_ms=HORIZON_MS)
        self.redis.set(generation_key("", Stream.B), msgspec.json.encode(generation))
        self.store = WindowStore(self.connection, Layout("", Stream.B, generation))
        self.workers = [StreamWindows(self.store, Stream.B, self.clock) for _ in range(2)]

    # --- steps ---

    async def send(self, records: Sequence[tuple[str, int, int, float, str, int]]) -> None:
        for record_id, age_min, late_min, number, parent, erase in records:
            ingested_ms = self.clock.now_ms() - age_min * MINUTE_MS
            record = RecordB(
                id=record_id,
                a_id=parent,
                number=number,
                text="",
                event_time=ingested_ms - late_min * MINUTE_MS,
                ingested_at=ingested_ms * 1000,
            )
            self.logs[IDS.index(record_id) % PARTITIONS].append(record if erase else record_id)

    async def deliver(self, partition: int, back: int, count: int, worker: int) -> None:
        """A batch from the stored position, or from before it, as a worker that lost track would send it."""
        stored = (await self.store.positions([partition]))[partition]
        start = max(0, stored - back)
        entries = [_message(n, item) for n, item in list(enumerate(self.logs[partition]))[start : start + count]]
        if not entries:
            return
        batch = Batch(Partition(RECORDS[Stream.B], partition), start, entries)
        items, refusals = read(Stream.B, entries)
        assert not refusals
        try:
            await self.workers[worker].apply(batch, items)
        except TryLater:  # it knows less of control than its predecessor
            await self.learn(worker)
            await self.workers[worker].apply(batch, items)

    async def skip(self, partition: int, worker: int) -> None:
        """A batch that begins past what a shard holds is refused."""
        log = self.logs[partition]
        stored = (await self.store.positions([partition]))[partition]
        if stored + 1 < len(log):
            batch = Batch(Partition(RECORDS[Stream.B], partition), stored + 1, [_message(stored + 1, log[stored + 1])])
            with pytest.raises((Reposition, TryLater)):
                await self.workers[worker].apply(batch, read(Stream.B, batch.entries)[0])
            await self.learn(worker)

    async def crash(self, worker: int, after: int, work: tuple[Any, ...]) -> None:
        """A worker dies between two steps of its work, and another one that knows nothing takes its place."""
        mortal = WindowStore(_Mortal(self.connection, after), self.store.layout)
        self.store, whole = mortal, self.store
        for one in self.workers:
            one.store = mortal
        name, *arguments = work
        with suppress(_DiedError):
            await getattr(self, name)(*arguments)
        self.store = whole
        for one in self.workers:
            one.store = whole
        self.workers[worker] = StreamWindows(whole, Stream.B, self.clock)

    async def wait(self, minutes: int) -> None:
        self.clock.advance(ms=minutes * MINUTE_MS)

    async def trim(self) -> None:
        while await self.store.trim(self.clock.now_ms() - self.store.layout.oldest_kept_ms, SLICE) == SLICE:
            pass

    async def change(self, name: str, threshold: int, worker: int) -> None:
        """A condition is created or changed; one worker learns of it at once."""
        condition = Condition(
            name=name,
            stream=Stream.B,
            expression=f"number > {threshold}.0",
            per_a=True,
            created_at=self.control[name][1].created_at if name in self.control else self.next_control,
            changed_at=0,
        )
        self.control[name] = (self.next_control, condition)
        self.next_control += 1
        await self.learn(worker)

    async def forget(self, name: str, worker: int) -> None:
        self.control.pop(name, None)
        self.next_control += 1
        await self.learn(worker)

    async def learn(self, worker: int) -> None:
        standing = await self.store.standing()
        self.workers[worker].revisions = choose(
            self.workers[worker].revisions,
            control=self.next_control,
            newest=dict(self.control.values()),
            stored=standing.conditions(),
            whole=standing.whole(),
        )

    async def fill(self, count: int) -> None:
        """Both partitions: go live where that is due, then a slice of what is lacking."""
        await self.learn(0)
        for partition, position in (await self.store.positions(range(PARTITIONS))).items():
            await self.workers[0].go_live(partition, position)
        revisions = self.workers[0].revisions
        for gap in gaps(await self.store.standing(), revisions.conditions, range(PARTITIONS)):
            stop = min(gap.stop, gap.start + count)
            entries = [_message(n, item) for n, item in enumerate(self.logs[gap.partition])][gap.start : stop]
            await fill_batch(self.store, revisions, gap, read(Stream.B, entries)[0], stop)

    async def drop(self) -> None:
        await self.learn(0)
        standing = await self.store.standing()
        for revision in superseded(self.workers[0].revisions, standing.conditions()):
            while await self.store.drop(revision, SLICE):
                pass

    async def save(self) -> None:
        self.snapshot = {key: self.redis.dump(key) for key in self.redis.scan_iter()}

    async def restore(self) -> None:
        """The server comes back with what it had a while ago."""
        if self.snapshot:
            self.redis.flushall()
            for key, value in self.snapshot.items():
                self.redis.restore(key, 0, value)

    # --- the claim ---

    async def check(self) -> None:
        positions = await self.store.positions(range(PARTITIONS))
        if not await self._level():
            return  # a crash left a shard ahead: until the next batch, each is right as of its own position
        model = Model(self.logs, positions)
        counts, now_ms = Counts(self.connection, "", self.clock), self.clock.now_ms()
        standing = await self.store.standing()
        conditions: list[tuple[str | None, Callable[[RecordB], bool]]] = [(None, lambda _: True)]
        for revision in standing.whole():
            condition = standing.conditions()[revision]
            if self.control.get(condition.name, (None,))[0] == revision:
                threshold = float(condition.expression.split()[-1])
                conditions.append((held_name(condition.name, revision), lambda r, t=threshold: r.number > t))
        windows = [Window(now_ms - hours * HOUR_MS // 60) for hours in (1, 59, 60, 61, 330, 360)]
        windows += [Window(start_ms, start_ms + 95 * MINUTE_MS + 7) for start_ms, _ in windows]
        asked = [
            (Question(Stream.B, window, Unit.ITEMS, a_id, held), holds)
            for window in windows
            for a_id in (None, *PARENTS)
            for held, holds in conditions
        ]
        asked += [(Question(Stream.B, window, Unit.EVENTS), lambda _: True) for window in windows]
        series = Window(now_ms - HORIZON_MS).aligned()
        for unit in Unit:
            steps = series.steps(90 * MINUTE_MS, now_ms)
            asked += [(Question(Stream.B, step, unit), lambda _: True) for step in steps]
        found = (await counts.ask([question for question, _ in asked])).counts
        for (question, holds), count in zip(asked, found, strict=True):
            assert count == model.count(question, holds), question
        assert await self.store.late(now_ms) == model.late(now_ms // HOUR_MS * HOUR_MS - HORIZON_MS)

    async def _level(self) -> bool:
        replies = [self.redis.hmget(base + ":pos", *map(str, range(PARTITIONS))) for base in self.store.layout.bases()]
        return all(reply == replies[0] for reply in replies)


class WithRealSnapshots(World):
    """The server writes its snapshot itself; it is killed, and started from it."""

    async def save(self) -> None:
        self.snapshot = {b"": self.server.snapshot()}

    async def restore(self) -> None:
        if self.snapshot:
            self.server.kill()
            self.server.start_from(self.snapshot[b""])


class _DiedError(Exception):
    pass


class _Mortal(Connection):
    """A connection that is there for so many steps: a script on a shard is one."""

    def __init__(self, connection: Connection, steps: int) -> None:
        self.__dict__.update(vars(connection))  # the very same one, until its steps are over
        self._steps = steps

    async def run(self, script: Script, calls: Mapping[str, bytes]) -> dict[str, Any]:
        replies: dict[str, Any] = {}
        for key, blob in calls.items():
            if self._steps == 0:
                raise _DiedError
            self._steps -= 1
            replies |= await super().run(script, {key: blob})
        return replies


def _message(offset: int, item: RecordB | str) -> Logged:
    if isinstance(item, str):
        return Logged(offset, item.encode(), None)
    return Logged(offset, item.id.encode(), msgspec.json.encode(item))


PARTITION, WORKER = st.integers(0, PARTITIONS - 1), st.integers(0, 1)
NAME = st.sampled_from(["big", "small"])
RECORD = st.tuples(
    st.sampled_from(IDS),
    st.sampled_from([0, 0, 0, 1]),
    st.sampled_from([0, 0, 1, 58, 60, 61, 200, 359, 360, 361, 420, 500]),
    st.sampled_from([0.0, 5.0, 10.0]),
    st.sampled_from(PARENTS),
    st.integers(0, 15),
)
ARGUMENTS: dict[str, st.SearchStrategy[tuple[Any, ...]]] = {
    "send": st.tuples(st.lists(RECORD, min_size=1, max_size=5)),
    "deliver": st.tuples(PARTITION, st.integers(0, 3), st.integers(1, 5), WORKER),
    "skip": st.tuples(PARTITION, WORKER),
    "wait": st.tuples(st.sampled_from([1, 59, 61, 300])),
    "trim": st.just(()),
    "change": st.tuples(NAME, st.sampled_from([-1, 3, 7]), WORKER),
    "forget": st.tuples(NAME, WORKER),
    "learn": st.tuples(WORKER),
    "fill": st.tuples(st.integers(1, 4)),
    "drop": st.just(()),
    "save": st.just(()),
    "restore": st.just(()),
    "check": st.just(()),
}


def _step(name: str) -> st.SearchStrategy[tuple[Any, ...]]:
    return ARGUMENTS[name].map(lambda arguments: (name, *arguments))


WORK = st.sampled_from(["deliver", "deliver", "fill", "drop", "trim"]).flatmap(_step)
ARGUMENTS["crash"] = st.tuples(WORKER, st.integers(0, 6), WORK)


def histories(**weights: int) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """Steps, each as often as its weight says: without records they say nothing, torn down all the time little."""
    often = {"send": 8, "deliver": 10, "check": 5, "fill": 3, "change": 2, "crash": 2, **weights}
    names = st.sampled_from([name for name in ARGUMENTS for _ in range(often.get(name, 1))])
    return st.lists(names.flatmap(_step), min_size=20, max_size=50)


HISTORIES = histories()
UNHURRIED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=60, suppress_health_check=UNHURRIED)
@given(steps=HISTORIES, shards=st.sampled_from([1, 3]))
def test_every_count_equals_the_model(valkey: Any, steps: list[tuple[Any, ...]], shards: int) -> None:
    asyncio.run(_live(valkey, steps, shards))


@settings(max_examples=15, suppress_health_check=UNHURRIED)
@given(steps=HISTORIES)
def test_every_count_equals_the_model_on_a_cluster(cluster: Any, steps: list[tuple[Any, ...]]) -> None:
    """Shards lie on different nodes, and what belongs to one stays in one slot."""
    asyncio.run(_live(cluster, steps, shards=7))


@settings(max_examples=15, suppress_health_check=UNHURRIED)
@given(steps=histories(crash=8, save=2, restore=3))
def test_every_count_equals_the_model_though_all_that_can_die_does(mortal: Any, steps: list[tuple[Any, ...]]) -> None:
    """Workers between any two steps, and the server, which comes back from an older snapshot; two take turns."""
    asyncio.run(_live(mortal, steps, shards=3, world_of=WithRealSnapshots))


async def _live(server: Any, steps: list[tuple[Any, ...]], shards: int, world_of: Any = World) -> None:
    connection = Connection(server.settings)
    with server.client() as redis:
        world = world_of(connection, redis, shards)
        world.server = server
        try:
            for name, *arguments in steps:
                await getattr(world, name)(*arguments)
            for partition in range(PARTITIONS):
                await world.deliver(partition, 0, 1000, 0)
            await world.check()
            await world.fill(1000)
            await world.check()
            await world.drop()
            await world.check()
        finally:
            await connection.close()
