"""Fills a new generation of windows from the log while the old one serves, compares, switches, deletes the old.

`python -m aggregates.rebuild`; it also brings settings into force that only fresh windows can have: shards, horizon.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

import msgspec
import structlog

from aggregates.changes import read
from aggregates.generations import wanted
from aggregates.revisions import choose
from aggregates.settings import AggregatesRebuildSettings, AggregatesSettings
from aggregates.store import WindowStore
from aggregates.stream_windows import StreamWindows
from common.clock import Clock, SystemClock
from common.concurrency import all_of
from common.contracts import MAX_AHEAD_MS, RECORDS, Condition, Stream
from common.errors import CannotStart, TryLater
from common.kafka.batches import Batch, Partition
from common.kafka.control import ControlTable
from common.kafka.history import History, Past
from common.kafka.producer import Producer
from common.kafka.replay import Replay
from common.kafka.topics import count_partitions
from common.process import main
from twinstream_lake.sources import past_of
from windows.connection import Connection
from windows.counts import LINGER_S, read_layout
from windows.layout import HOUR_MS, Layout, generation_key, held_name, rebuild_key
from windows.questions import Question, Window, commands, total

log = structlog.get_logger()

_CLOSE: Final = 500
"""Records that may be lacking at the switch: the live worker goes on from there within a second."""

_LOCK_MS: Final = 60_000


class Rebuild:
    """The rebuild of one stream's windows."""

    def __init__(  # noqa: PLR0913  # by name, each once, from `run`
        self,
        settings: AggregatesSettings,
        stream: Stream,
        *,
        connection: Connection,
        control: ControlTable,
        replay: Replay,
        clock: Clock,
        past: Past | None = None,
        linger_s: float = LINGER_S,
    ) -> None:
        self._settings = settings
        self._stream = stream
        self._connection = connection
        self._control = control
        self._replay = replay
        self._history = History(replay, past)
        self._clock = clock
        self._linger_s = linger_s

    async def run(self, stop: asyncio.Event) -> Mapping[str, tuple[int, int]]:
        """Rebuild, unless `stop` is set before the switch: then the old windows stay in force.

        Returns:
            Counts by what was counted: in the old windows, in the new ones.

        Raises:
            CannotStart: there is nothing to rebuild, or another rebuild runs.
            TryLater: Redis or Kafka went away; the old windows stay in force.
        """
        old = await read_layout(self._connection, self._settings.redis_prefix, self._stream)
        if old is None:
            raise CannotStart(f"There are no windows of stream {self._stream.upper()} yet: aggregates makes them.")
        async with self._alone():
            new = await self._prepared(old)
            await self._fill(new, stop)
            if stop.is_set():
                await self._connection.delete_matching(new.pattern)
                return {}
            compared = await self._compare(old, new)
            key = generation_key(self._settings.redis_prefix, self._stream)
            await self._connection.pipelined([("SET", key, msgspec.json.encode(new.generation))])
            log.info("switched", stream=self._stream, number=new.generation.number)
            await asyncio.sleep(self._linger_s)  # readers and workers learn of it within a second
            log.info("deleted", stream=self._stream, keys=await self._connection.delete_matching(old.pattern))
            return compared

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Two at once would fill the same generation."""
        key, token = rebuild_key(self._settings.redis_prefix, self._stream), secrets.token_hex(8)
        (taken,) = await self._connection.pipelined([("SET", key, token, "NX", "PX", _LOCK_MS)])
        if not taken:
            raise CannotStart("Another rebuild runs, or one ended within the last minute without a word: try again.")
        holding = asyncio.create_task(self._hold(key))
        try:
            yield
        finally:
            holding.cancel()
            await asyncio.wait([holding])
            await self._connection.pipelined([("DEL", key)])

    async def _hold(self, key: str) -> None:
        """Keep others out for as long as it takes: a first look into a long past alone may outlast what was taken."""
        while True:
            await asyncio.sleep(_LOCK_MS / 3000)
            with suppress(TryLater):  # if Redis is away for long, the rebuild itself ends of it
                await self._connection.pipelined([("PEXPIRE", key, _LOCK_MS)])

    async def _prepared(self, old: Layout) -> Layout:
        """The layout to fill, empty whatever an earlier attempt left there."""
        partitions = await count_partitions(self._settings, RECORDS[self._stream])
        new = replace(old, generation=wanted(self._settings, old.generation.number + 1, partitions))
        await self._connection.delete_matching(new.pattern)
        return new

    async def _fill(self, layout: Layout, stop: asyncio.Event) -> None:
        windows = StreamWindows(WindowStore(self._connection, layout), self._stream, self._clock)
        conditions = {entry.version: entry.value for entry in self._control.of(Condition)}
        windows.revisions = choose(
            windows.revisions,
            control=self._control.next_offset,
            newest={n: condition for n, condition in conditions.items() if condition.stream is self._stream},
            stored={},
            whole=(),
        )
        partitions = [Partition(RECORDS[self._stream], n) for n in range(layout.generation.partitions)]
        for partition in partitions:
            await self._history.check(partition)
            await windows.go_live(partition.number, 0)
        lacking = _CLOSE + 1
        while lacking > _CLOSE and not stop.is_set():
            lacking = sum([await self._catch_up(windows, partition, stop) for partition in partitions])

    async def _catch_up(self, windows: StreamWindows, partition: Partition, stop: asyncio.Event) -> int:
        """Bring a partition to its present end; returns how many records that were."""
        oldest_ms = self._clock.now_ms() - windows.store.layout.oldest_kept_ms - MAX_AHEAD_MS
        position = (await windows.positions([partition.number]))[partition.number]
        _, end = await self._replay.bounds(partition)
        at, done = position or await self._history.first_since(partition, oldest_ms), 0
        async for entries in self._history.read(partition, at, end, stop):
            batch = Batch(partition, position, entries)
            await windows.apply(batch, read(self._stream, entries)[0])
            position = batch.next_position
            done += len(entries)
        log.info("partition_filled", topic=partition.topic, partition=partition.number, position=position, end=end)
        return done

    async def _compare(self, old: Layout, new: Layout) -> dict[str, tuple[int, int]]:
        now_ms = self._clock.now_ms()
        reach_ms = min(old.generation.horizon_ms, new.generation.horizon_ms)
        whole = (await WindowStore(self._connection, old).standing()).whole()
        questions = {
            f"{hours} h": Question(self._stream, Window(now_ms - hours * HOUR_MS))
            for hours in sorted({1, 24, reach_ms // HOUR_MS})
            if hours * HOUR_MS <= reach_ms
        }
        for entry in self._control.of(Condition):
            if entry.value.stream is self._stream and entry.version in whole:
                held = held_name(entry.value.name, entry.version)
                questions[entry.value.name] = Question(self._stream, Window(now_ms - reach_ms), held=held)
        return {
            name: (await self._ask(old, question, now_ms), await self._ask(new, question, now_ms))
            for name, question in questions.items()
        }

    async def _ask(self, layout: Layout, question: Question, now_ms: int) -> int:
        return total(question, await self._connection.pipelined(commands(layout, question, now_ms)))


async def run(settings: AggregatesRebuildSettings, stop: asyncio.Event) -> None:
    """Rebuild both streams at once: part of it is waiting."""
    clock, connection, producer = SystemClock(), Connection(settings), Producer(settings)
    control = ControlTable(settings, producer, clock)
    async with AsyncExitStack() as stack:
        for part in (connection.close, producer.stop, control.stop):
            stack.push_async_callback(part)
        await producer.start()
        await control.start()

        async def rebuild(stream: Stream) -> None:
            past, replay = await past_of(settings, stream, stack), Replay(settings)
            stack.push_async_callback(replay.stop)
            await replay.start()
            anew = Rebuild(
                settings, stream, connection=connection, control=control, replay=replay, clock=clock, past=past
            )
            for what, (old, new) in (await anew.run(stop)).items():
                log.info("compared", stream=stream, window=what, old=old, new=new, drift=new - old)

        await all_of([rebuild(stream) for stream in Stream])


if __name__ == "__main__":
    main("rebuild", AggregatesRebuildSettings, run)
