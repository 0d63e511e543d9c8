"""The composition root of the writer: the only place that joins its parts. Tests call it with settings of their own."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from common.clock import Clock, SystemClock
from common.contracts import RECORDS, Stream
from common.health import Health
from common.kafka.follower import Follower
from common.kafka.producer import Producer
from common.kafka.rejections import Rejections
from common.kafka.topics import check_topics
from common.process import run_all, telling, until_available
from lake.modesty import be_modest
from lake.settings import WriterSettings
from lake.writer.log_table import LogTable
from lake.writer.pending import Due
from lake.writer.worker import StreamWriter
from twinstream_lake.catalog import Catalog


async def run(settings: WriterSettings, stop: asyncio.Event) -> None:
    """Work until `stop` is set, then commit what is pending.

    Raises:
        CannotStart: the configuration or the surroundings must change.
        TryLater: Kafka or the catalog was not there within a minute.
    """
    be_modest()
    async with (
        telling(settings.metrics_host, settings.lake_writer_metrics_port) as health,
        assembled(settings, health, SystemClock(), stop) as parts,
    ):
        await run_all(parts, stop)


@asynccontextmanager
async def assembled(
    settings: WriterSettings, health: Health, clock: Clock, stop: asyncio.Event
) -> AsyncGenerator[Sequence[StreamWriter]]:
    """A writer for each stream, once Kafka and the catalog are there; closed again on the way out."""
    producer = Producer(settings)
    due = Due(settings.lake_commit_seconds, settings.lake_commit_rows, settings.lake_commit_bytes)
    writers = []
    async with AsyncExitStack() as stack:
        catalog = await until_available(partial(asyncio.to_thread, Catalog, settings), stop)
        stack.callback(catalog.close)
        await until_available(partial(check_topics, settings), stop)
        stack.push_async_callback(producer.stop)
        await until_available(producer.start, stop)
        for stream in Stream:
            table, follower = LogTable(catalog, stream), Follower(settings, RECORDS[stream])
            await until_available(partial(asyncio.to_thread, table.prepare), stop)
            stack.push_async_callback(follower.stop)
            await until_available(follower.start, stop)
            writer = StreamWriter(table, follower, Rejections(producer), clock, due)
            health.add(f"writer of {stream}", writer.problem)
            writers.append(writer)
        yield writers
