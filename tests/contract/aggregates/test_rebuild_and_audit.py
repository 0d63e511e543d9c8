"""Windows that went wrong are found out by the audit and mended by a rebuild, while they serve."""

import asyncio
import random
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from aggregates.audit import Audit
from aggregates.changes import read
from aggregates.rebuild import Rebuild
from aggregates.revisions import choose
from aggregates.settings import AggregatesSettings
from aggregates.store import WindowStore
from aggregates.stream_windows import StreamWindows
from common.clock import SystemClock
from common.contracts import RECORDS, Condition, ControlKind, RecordB, Stream
from common.errors import CannotStart
from common.kafka.batches import Batch, Partition
from common.kafka.control import ControlTable
from common.kafka.producer import Message, Producer
from common.kafka.replay import Replay
from common.settings import KafkaSettings
from windows.connection import Connection
from windows.counts import Counts, read_layout
from windows.layout import HOUR_MS, Generation, Layout, generation_key, held_name, rebuild_key
from windows.questions import Question, Unit, Window


class Deployment:
    """A log, control, and windows that were filled from it."""

    def __init__(self, settings: AggregatesSettings, connection: Connection) -> None:
        self.settings, self.connection, self.clock = settings, connection, SystemClock()
        self.producer, self.replay = Producer(settings), Replay(settings)
        self.control = ControlTable(settings, self.producer, self.clock)
        generation = Generation(shards=1, partitions=3, horizon_ms=24 * HOUR_MS)
        self.layout = Layout("", Stream.B, generation)

    async def start(self) -> None:
        await self.producer.start()
        await self.control.start()
        await self.replay.start()
        condition = Condition(
            name="big", stream=Stream.B, expression="number > 50", per_a=True, created_at=1, changed_at=1
        )
        self.revision = await self.control.put(ControlKind.CONDITION, "big", condition)
        key = generation_key("", Stream.B)
        await self.connection.pipelined([("FLUSHALL",), ("SET", key, msgspec.json.encode(self.layout.generation))])
        self.windows = StreamWindows(WindowStore(self.connection, self.layout), Stream.B, self.clock)
        self.windows.revisions = choose(
            self.windows.revisions,
            control=self.control.next_offset,
            newest={self.revision: condition},
            stored={},
            whole=(),
        )

    async def stop(self) -> None:
        await self.replay.stop()
        await self.control.stop()
        await self.producer.stop()

    async def send(self, count: int) -> None:
        """Records of the past hour, some of ids that were there before, and one id that is erased."""
        chance, now_ms = random.Random(count), self.clock.now_ms()
        records = [
            RecordB(
                id=f"b-{chance.randrange(count)}",
                a_id=f"a-{n % 7}",
                number=float(n % 100),
                text="",
                event_time=now_ms - chance.randrange(HOUR_MS),
                ingested_at=now_ms * 1000 + n,
            )
            for n in range(count)
        ]
        messages = [Message(r.id.encode(), msgspec.json.encode(r), now_ms) for r in records]
        await self.producer.publish(RECORDS[Stream.B], [*messages, Message(b"b-1", None, now_ms)])

    async def take(self) -> None:
        """Fill the windows, as the worker does."""
        for number in range(3):
            partition = Partition(RECORDS[Stream.B], number)
            position = (await self.windows.positions([number]))[number]
            await self.windows.go_live(number, position)
            _, end = await self.replay.bounds(partition)
            if position < end:
                while not (entries := await self.replay.read(partition, position, 100_000)):
                    pass  # a busy Kafka may keep a reader waiting
                await self.windows.apply(Batch(partition, position, entries), read(Stream.B, entries)[0])

    async def counts(self) -> list[int]:
        window = Window(self.clock.now_ms() - 2 * HOUR_MS)
        held = held_name("big", self.revision)
        questions = [
            Question(Stream.B, window),
            Question(Stream.B, window, a_id="a-3"),
            Question(Stream.B, window, held=held),
            Question(Stream.B, window, a_id="a-3", held=held),
            Question(Stream.B, window, Unit.EVENTS),
        ]
        return (await Counts(self.connection, "", self.clock).ask(questions)).counts

    async def audit(self) -> dict[str, str]:
        chance = random.Random(1)
        audit = Audit(self.connection, self.layout, replay=self.replay, clock=self.clock, chance=chance)
        result = await audit.run(self.windows.revisions)
        assert result.ids > 100
        return dict(result.drift)

    async def rebuild(self, stop: asyncio.Event | None = None, linger_s: float = 0.1) -> dict[str, tuple[int, int]]:
        rebuild = Rebuild(
            self.settings,
            Stream.B,
            connection=self.connection,
            control=self.control,
            replay=self.replay,
            clock=self.clock,
            linger_s=linger_s,
        )
        return dict(await rebuild.run(stop or asyncio.Event()))


@pytest_asyncio.fixture
async def deployment(fresh_kafka: KafkaSettings, valkey: Any) -> AsyncIterator[Deployment]:
    settings = AggregatesSettings(
        kafka_bootstrap=fresh_kafka.kafka_bootstrap,
        topic_prefix=fresh_kafka.topic_prefix,
        redis_url=valkey.settings.redis_url,
        window_shards=3,
        window_horizon_hours=48,
    )
    connection = Connection(settings)
    deployment = Deployment(settings, connection)
    await deployment.start()
    yield deployment
    await deployment.stop()
    await connection.close()


async def test_windows_that_are_right_show_no_drift(deployment: Deployment) -> None:
    """An id that was erased since is rightly gone."""
    await deployment.send(400)
    await deployment.take()
    assert await deployment.audit() == {}


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        ("ZREM {b:00}:all {id}", "listed at None"),
        ("ZREM {b:00}:of:{parent} {id}", "under its parent at None"),
        ("ZADD {b:00}:c:{held} 1 {id}", "listed under big at 1.0"),
        ("HDEL {b:00}:head {id}", "the windows have None"),
    ],
)
async def test_the_audit_finds_what_is_wrong(deployment: Deployment, tamper: str, says: str) -> None:
    """An id that is missing somewhere, one that is where it does not belong, and one that is gone."""
    await deployment.send(400)
    await deployment.take()
    bases = "{b:00}"
    (members,) = await deployment.connection.pipelined([("ZRANGE", bases + ":all", 0, -1)])
    seen = await Audit(
        deployment.connection,
        deployment.layout,
        replay=deployment.replay,
        clock=deployment.clock,
        chance=random.Random(1),
    )._inspector.see([member.decode() for member in members], {})
    victims = [id_ for id_, one in seen.items() if not one.held]
    held = held_name("big", deployment.revision)
    await deployment.connection.pipelined(
        [
            tamper.replace("{id}", id_).replace("{parent}", seen[id_].parent).replace("{held}", held).split()
            for id_ in victims
        ]
    )
    drift = await deployment.audit()
    assert drift
    assert drift.keys() <= set(victims)
    assert all(says in fault for fault in drift.values())


async def test_a_rebuild_mends_and_brings_settings_into_force(deployment: Deployment) -> None:
    """The new windows count as the old ones should have; nothing of the old is left."""
    await deployment.send(400)
    await deployment.take()
    right = await deployment.counts()
    await deployment.connection.pipelined([("DEL", "{b:00}:all"), ("HSET", "{b:00}:ev", "h1", 5)])
    assert (await deployment.counts())[0] == 0
    compared = await deployment.rebuild()
    assert compared["24 h"] == (0, right[0])
    assert await deployment.counts() == right
    layout = await read_layout(deployment.connection, "", Stream.B)
    assert layout is not None
    assert layout.generation == Generation(number=1, shards=3, partitions=3, horizon_ms=48 * HOUR_MS)
    (keys,) = await deployment.connection.pipelined([("KEYS", "*")])
    assert not [key for key in keys if key.startswith(b"{")]
    await deployment.rebuild()
    assert await deployment.counts() == right


async def test_a_rebuild_that_is_stopped_leaves_everything_as_it_was(deployment: Deployment) -> None:
    """The old windows stay in force, and of the new ones nothing is left."""
    await deployment.send(100)
    await deployment.take()
    before = await deployment.counts()
    stop = asyncio.Event()
    stop.set()
    assert await deployment.rebuild(stop) == {}
    assert await deployment.counts() == before
    (keys,) = await deployment.connection.pipelined([("KEYS", "r1:*")])
    assert keys == []


async def test_one_rebuild_at_a_time(deployment: Deployment) -> None:
    """Two would fill the same generation; one that ended makes room for the next."""
    await deployment.connection.pipelined([("SET", rebuild_key("", Stream.B), "another")])
    with pytest.raises(CannotStart, match="Another rebuild runs"):
        await deployment.rebuild()
    await deployment.connection.pipelined([("DEL", rebuild_key("", Stream.B))])
    for _ in range(2):
        await deployment.rebuild()


async def test_a_rebuild_keeps_others_out_for_as_long_as_it_takes(deployment: Deployment, monkeypatch) -> None:
    """Longer than the lock would last: each time it is renewed it has longer to live again."""
    monkeypatch.setattr("aggregates.rebuild._LOCK_MS", 600)
    running = asyncio.create_task(deployment.rebuild(linger_s=1.5))
    left_ms = list[int]()
    while not running.done():
        (left,) = await deployment.connection.pipelined([("PTTL", rebuild_key("", Stream.B))])
        left_ms.append(left)
        await asyncio.sleep(0.01)
    await running
    assert sum(after > before > 0 for before, after in pairwise(left_ms)) > 2
