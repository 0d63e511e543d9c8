"""Rebuilds out of the lake: how fast its log is read, beside Kafka's own, and what each rebuild takes.

`python bench/lake_rebuilding.py documents|aggregates` is one of them: a process of its own, whose memory can be told.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lake_writing
from harness.figures import Figure, figure, paired

from aggregates.generations import ensure_layout
from aggregates.rebuild import Rebuild as RebuildWindows
from aggregates.settings import AggregatesRebuildSettings
from common.clock import SystemClock
from common.contracts import RECORDS, Stream
from common.kafka.batches import Partition
from common.kafka.control import ControlTable
from common.kafka.history import History, Past
from common.kafka.producer import Producer
from common.kafka.replay import Replay
from common.kafka.topics import ensure_topics
from common.settings import KafkaSettings, LakeSettings, RebuildSettings, load
from documents.rebuild import Rebuild as RebuildDocuments
from documents.settings import DocumentsRebuildSettings
from documents.store import DocumentStore
from localstack.testing import Stack, running_servers
from twinstream_lake.sources import past_of
from windows.connection import Connection

PARTITIONS = 4
HOUR_MS = 3_600_000
CLOCK = SystemClock()


async def measured(rounds: int, documents: int, aggregates: int) -> list[Figure]:
    """Of so many records each: MongoDB's stand-in takes some hundred of them in a second, Redis some thousand."""
    figures: list[Figure] = []
    with TemporaryDirectory() as folder:
        async with running_servers(Path(folder)) as stack:
            for what, count in (("documents", documents), ("aggregates", aggregates)):
                kafka = KafkaSettings(kafka_bootstrap=stack.kafka_bootstrap, topic_prefix=f"{what}-")
                await ensure_topics(kafka, partitions=PARTITIONS)
                await lake_writing.fill(kafka, count, CLOCK.now_ms() - HOUR_MS)
                lake = await lake_writing.write(kafka, f"{folder}/lake-of-{what}", count)
                seconds, peak_mb = await _rebuilt(what, _environment(stack, kafka, lake))
                about = f"{what} rebuilt of {count:,} records of the lake"
                figures += [
                    figure(about, "records/s", [count / seconds]),
                    figure(f"{about}, greatest memory", "MB", [peak_mb], better="lower"),
                ]
            return [*figures, *await _reading(kafka, lake, rounds, count)]


async def _reading(kafka: KafkaSettings, lake: LakeSettings, rounds: int, count: int) -> list[Figure]:
    """All of the log, out of the lake and out of Kafka in turn: seconds of this process's processor count."""
    where = RebuildSettings(**lake.model_dump(include={"lake_catalog_uri", "lake_warehouse"}), rebuild_from="lake")
    async with AsyncExitStack() as stack:
        replay = Replay(kafka)
        stack.push_async_callback(replay.stop)
        await replay.start()
        past = await past_of(where, Stream.B, stack)
        ours, bare, ratios = await paired(rounds, _rate(replay, past, count), _rate(replay, None, count))
    return [
        figure("the log read out of the lake", "records/s of a processor", ours),
        figure("the log read out of Kafka", "records/s of a processor", bare),
        figure("the log read out of the lake / out of Kafka", "ratio", ratios),
    ]


def _rate(replay: Replay, past: Past | None, count: int) -> Callable[[], Awaitable[float]]:
    async def measure() -> float:
        began, seen = time.process_time(), 0
        history, stop = History(replay, past), asyncio.Event()
        for number in range(PARTITIONS):
            partition = Partition(RECORDS[Stream.B], number)
            _, end = await replay.bounds(partition)
            async for entries in history.read(partition, 0, end, stop):
                seen += len(entries)
        if seen != count:
            raise RuntimeError(f"{seen} of {count} records were read")
        return count / (time.process_time() - began)

    return measure


def _environment(stack: Stack, kafka: KafkaSettings, lake: LakeSettings) -> dict[str, str]:
    where = {
        "TWINSTREAM_TOPIC_PREFIX": kafka.topic_prefix,
        "TWINSTREAM_LAKE_CATALOG_URI": lake.lake_catalog_uri.get_secret_value(),
        "TWINSTREAM_LAKE_WAREHOUSE": lake.lake_warehouse,
        "TWINSTREAM_REBUILD_FROM": "lake",
    }
    return {**os.environ, **stack.profile.environment(), **where}


async def _rebuilt(what: str, environment: dict[str, str]) -> tuple[float, float]:
    """Seconds of the rebuild alone, and the most megabytes that its process held."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, __file__, what, env=environment, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await running.communicate()
    if running.returncode:
        raise RuntimeError(f"the rebuild of {what} ended with {running.returncode}")
    seconds, peak_mb = json.loads(said.splitlines()[-1])
    return float(seconds), float(peak_mb)


async def _rebuild_documents(stack: AsyncExitStack) -> Any:
    settings = load(DocumentsRebuildSettings)
    store, replay = DocumentStore(settings), Replay(settings)
    stack.push_async_callback(store.close)
    stack.push_async_callback(replay.stop)
    await store.prepare()
    await replay.start()
    past = await past_of(settings, Stream.B, stack)
    return RebuildDocuments(store, Stream.B, PARTITIONS, replay=replay, clock=CLOCK, past=past, kept_s=0.0)


async def _rebuild_aggregates(stack: AsyncExitStack) -> Any:
    settings = load(AggregatesRebuildSettings)
    connection, producer, replay = Connection(settings), Producer(settings), Replay(settings)
    control = ControlTable(settings, producer, CLOCK)
    for part in (connection.close, producer.stop, control.stop, replay.stop):
        stack.push_async_callback(part)
    for start in (producer.start, control.start, replay.start):
        await start()
    await ensure_layout(connection, settings, Stream.B)
    parts: dict[str, Any] = {"connection": connection, "control": control, "replay": replay, "clock": CLOCK}
    return RebuildWindows(settings, Stream.B, **parts, past=await past_of(settings, Stream.B, stack), linger_s=0.0)


async def _alone(what: str) -> None:
    async with AsyncExitStack() as stack:
        rebuild = await {"documents": _rebuild_documents, "aggregates": _rebuild_aggregates}[what](stack)
        began = time.perf_counter()
        await rebuild.run(asyncio.Event())
        print(json.dumps([time.perf_counter() - began, _peak_mb()]))


def _peak_mb() -> float:
    """The most memory that this process has held."""
    told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    return int(told["VmHWM"].split()[0]) / 1024


if __name__ == "__main__":
    asyncio.run(_alone(sys.argv[1]))
