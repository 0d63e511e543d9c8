"""The composition root: the only place that joins the parts. Tests call it with settings of their own."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from common.clock import Clock, SystemClock
from common.contracts import RECORDS, REJECTED
from common.health import Health
from common.kafka.batch_loop import BatchLoop
from common.kafka.producer import Producer
from common.kafka.rejections import Rejections
from common.kafka.topics import check_topics
from common.process import telling, until_available
from documents.failures import SERVICE
from documents.rejected import ByTopic, Projection
from documents.rejected_store import RejectedStore
from documents.settings import DocumentsSettings
from documents.store import DocumentStore
from documents.worker import Worker


async def run(settings: DocumentsSettings, stop: asyncio.Event) -> None:
    """Work until `stop` is set, then finish the batch in hand.

    Raises:
        CannotStart: the configuration or the surroundings must change.
        TryLater: Kafka or MongoDB was not there within a minute.
    """
    async with (
        telling(settings.metrics_host, settings.documents_metrics_port) as health,
        assembled(settings, health, SystemClock(), stop) as loop,
    ):
        await loop.run(stop)


@asynccontextmanager
async def assembled(
    settings: DocumentsSettings, health: Health, clock: Clock, stop: asyncio.Event
) -> AsyncGenerator[BatchLoop]:
    """The loop with all that it works with, once Kafka and MongoDB are there; closed again on the way out."""
    store = DocumentStore(settings)
    rejected = RejectedStore(store, settings.rejected_days)
    producer = Producer(settings)
    records = Worker(store, rejected, Rejections(producer), clock)
    handler = ByTopic(store, dict.fromkeys(RECORDS.values(), records) | {REJECTED: Projection(store, rejected)})
    loop = BatchLoop(
        settings,
        group=SERVICE,
        topics=[*RECORDS.values(), REJECTED],
        handler=handler,
        max_records=settings.documents_batch_records,
    )
    health.add("worker", loop.problem)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        stack.push_async_callback(producer.stop)
        await until_available(partial(check_topics, settings), stop)
        await until_available(producer.start, stop)
        await until_available(store.prepare, stop)
        await until_available(rejected.prepare, stop)
        yield loop
