"""Windows: bytes per B id, part by part and with conditions, and the time of a rebuild from the log."""

import asyncio
import os
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable

import msgspec
from aggregates_workload import BASE, Topic, catch_up, full_topic
from bench_aggregates import THIRDS
from harness.figures import Figure, figure
from harness.processes import usage

from common.contracts import Stream
from windows.layout import ALL, EVENTS, HEAD, HELD, OF, Generation, generation_key, rebuild_key

IDS = 1_000_000
SAMPLE = 2_000


async def run(*, quick: bool) -> list[Figure]:
    async with full_topic(20_000 if quick else IDS) as topic:
        empty = await _used(topic)
        without = await _without_conditions(topic, empty)
        await topic.have_conditions(THIRDS)
        return [*without, *await _with_conditions(topic, empty), *await _rebuilt(topic)]


async def _without_conditions(topic: Topic, empty: int) -> list[Figure]:
    """Ten B to an A: all of it as the server counts it, and parts as it estimates them."""
    per_id, ids = await _filled(topic, empty), await _ids(topic)
    parts = {"the head": [BASE + HEAD], "the set of all": [BASE + ALL], "events": [BASE + EVENTS]}
    weights = {part: await _size(topic, keys) / ids for part, keys in parts.items()}
    of = [key async for key in topic.redis.scan_iter(match=BASE + OF + "*", count=5_000)]
    of_a = await _size(topic, of[:SAMPLE]) / len(of[:SAMPLE]) * len(of) / ids
    return [
        _weight("all alone", per_id - of_a),
        figure("memory, with per A", "bytes/id", [per_id], better="lower", aim=200),
        *(_weight(f"of which {part}", weight) for part, weight in weights.items()),
        _weight("of which the sets of the A", of_a),
    ]


async def _with_conditions(topic: Topic, empty: int) -> list[Figure]:
    """Of which 2.1 hold for an id on average."""
    per_id, ids = await _filled(topic, empty), await _ids(topic)
    held = [key async for key in topic.redis.scan_iter(match=BASE + HELD + "*")]
    members = sum([await topic.redis.zcard(key) for key in held])
    return [
        _weight("with per A and 3 conditions", per_id),
        figure("conditions held", "per id", [members / ids], better="lower"),
        _weight("a condition, per id that holds it", await _size(topic, held) / members),
    ]


async def _rebuilt(topic: Topic) -> list[Figure]:
    """Of stream B from its beginning to the switch, beside the worker that serves meanwhile."""
    await topic.stack.start("aggregates")
    environment = {**os.environ, **topic.stack.profile.environment(), "TWINSTREAM_LOG_LEVEL": "WARNING"}
    rebuild = await asyncio.create_subprocess_exec(sys.executable, "-m", "aggregates.rebuild", env=environment)
    await _until(rebuild, lambda: topic.redis.exists(rebuild_key("", Stream.B)))
    started, before = time.perf_counter(), usage(rebuild.pid)

    async def switched() -> bool:
        return msgspec.json.decode(await topic.redis.get(generation_key("", Stream.B)), type=Generation).number > 0

    await _until(rebuild, switched)
    seconds, spent = time.perf_counter() - started, usage(rebuild.pid).since(before).cpu_s
    await rebuild.wait()
    return [
        figure(f"rebuild of {topic.length:,} records", "s", [seconds], better="lower"),
        figure("rebuild", "records/s", [topic.length / seconds]),
        figure("rebuild, without the server", "CPU s/million", [spent / topic.length * 1e6], better="lower"),
    ]


async def _until(rebuild: Process, holds: Callable[[], Awaitable[object]]) -> None:
    while not await holds():
        if rebuild.returncode is not None:
            raise RuntimeError(f"the rebuild ended with {rebuild.returncode} before its switch")
        await asyncio.sleep(0.02)


def _weight(name: str, value: float) -> Figure:
    return figure(f"memory, {name}", "bytes/id", [value], better="lower")


async def _ids(topic: Topic) -> int:
    return int(await topic.redis.zcard(BASE + ALL))


async def _filled(topic: Topic, empty: int) -> float:
    """Bytes per id once the topic is taken in, beyond what the server uses when it is empty."""
    await catch_up(topic)
    return (await _used(topic) - empty) / await _ids(topic)


async def _used(topic: Topic) -> int:
    return int((await topic.redis.info("memory"))["used_memory"])


async def _size(topic: Topic, keys: list[bytes] | list[str]) -> float:
    return float(sum([await topic.redis.memory_usage(key, samples=SAMPLE) or 0 for key in keys]))
