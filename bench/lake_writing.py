"""The lake's writer out of a full topic, and the barest loop that reads, decodes and writes Parquet out of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lake_workload as workload
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from harness.figures import Figure, figure, paired
from prometheus_client import Counter

from common import metrics
from common.clock import SystemClock
from common.contracts import RECORDS, RecordB, Stream
from common.health import Health
from common.kafka.follower import Follower
from common.kafka.producer import Message, Producer
from common.kafka.topics import ensure_topics
from common.settings import KafkaSettings, LakeSettings
from lake.settings import WriterSettings
from lake.writer.log_table import SERVICE
from lake.writer.wiring import assembled
from localstack.testing import running_servers

AIM_RATE, AIM_RATIO = 100_000, 0.6
PARTITIONS = 4
COMMIT_ROWS = 50_000
SENT_AT_ONCE = 5_000
NAMES = ("id", "a_id", "number", "text", "event_time", "ingested_at")


async def measured(rounds: int, count: int) -> list[Figure]:
    """Both read the topic from its beginning; this process's seconds of a processor count: the machine is shared."""
    with TemporaryDirectory() as folder:
        async with running_servers(Path(folder)) as stack:
            kafka = KafkaSettings(kafka_bootstrap=stack.kafka_bootstrap)
            await ensure_topics(kafka, partitions=PARTITIONS)
            await fill(kafka, count)
            writer, bare, ratios = await paired(
                rounds, _rate(lambda: _write(kafka, count), count), _rate(lambda: _bare(kafka, count), count)
            )
    return [
        figure("written", "rows/s of a processor", writer, aim=AIM_RATE),
        figure("a bare loop of reading, decoding and writing Parquet", "rows/s of a processor", bare),
        figure("written, of the bare loop", "ratio", ratios, aim=AIM_RATIO),
    ]


async def fill(kafka: KafkaSettings, count: int, begin_ms: int = workload.BEGIN_MS) -> None:
    """Write records, the first as of `begin_ms`, into the topic."""
    producer, now_ms = Producer(kafka), SystemClock().now_ms()
    await producer.start()
    for first in range(0, count, SENT_AT_ONCE):
        entries = workload.entries(first, min(count, first + SENT_AT_ONCE), count, begin_ms)
        await producer.publish(RECORDS[Stream.B], [Message(one.key or b"", one.value, now_ms) for one in entries])
    await producer.stop()


async def _write(kafka: KafkaSettings, count: int) -> None:
    """Into a lake to throw away."""
    with TemporaryDirectory() as folder:
        await write(kafka, folder, count)


async def write(kafka: KafkaSettings, folder: str, count: int) -> LakeSettings:
    """The writer as it runs, into a lake in `folder`, until all is committed."""
    where: dict[str, Any] = {
        "lake_catalog_uri": f"sqlite:///{folder}/catalog.db",
        "lake_warehouse": f"{folder}/warehouse",
    }
    settings = WriterSettings(**kafka.model_dump(), **where, lake_commit_rows=COMMIT_ROWS, lake_commit_seconds=5)
    applied, stop = metrics.APPLIED.labels(SERVICE, Stream.B, "applied"), asyncio.Event()
    goal = _value(applied) + count
    async with assembled(settings, Health(), SystemClock(), stop) as writers:
        working = asyncio.gather(*(writer.run(stop) for writer in writers))
        while _value(applied) < goal and not working.done():  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.02)
        stop.set()
        await working
    return settings


async def _bare(kafka: KafkaSettings, count: int) -> None:
    """What any writer of such rows must do at least."""
    follower, decoder = Follower(kafka, RECORDS[Stream.B]), msgspec.json.Decoder(RecordB)
    await follower.start()
    await follower.place({})
    with TemporaryDirectory() as folder:
        held: list[tuple[int, RecordB]] = []
        seen = 0
        while seen < count:
            for entries in (await follower.read(10_000, 500)).values():
                held += [(entry.offset, decoder.decode(entry.value or b"")) for entry in entries]
                seen += len(entries)
            if len(held) >= COMMIT_ROWS or seen >= count:
                columns = {name: pa.array([getattr(record, name) for _, record in held]) for name in NAMES}
                columns["offset"] = pa.array([offset for offset, _ in held])
                pq.write_table(pa.table(columns), Path(folder) / f"{seen}.parquet", compression="zstd")
                held = []
    with suppress(asyncio.CancelledError):
        await follower.stop()


def _value(counter: Counter) -> float:
    return sum(
        sample.value for metric in counter.collect() for sample in metric.samples if sample.name.endswith("total")
    )


def _rate(work: Callable[[], Awaitable[None]], count: int) -> Callable[[], Awaitable[float]]:
    async def measure() -> float:
        began = time.process_time()
        await work()
        return count / (time.process_time() - began)

    return measure
