"""The composition root of the jobs: the only place that joins their parts. Tests call it with settings of their own."""

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from common.analytics import results_of
from common.clock import Clock, SystemClock
from common.health import Health
from common.process import run_all, telling, until_available
from lake.jobs.runner import Limits, Runner
from lake.jobs.store import JobStore
from lake.jobs.worker import JobWorker, Tidying
from lake.modesty import be_modest
from lake.scratch import scratch
from lake.settings import JobsSettings
from twinstream_lake.catalog import Catalog


async def run(settings: JobsSettings, stop: asyncio.Event) -> None:
    """Work until `stop` is set.

    Raises:
        CannotStart: the configuration must change.
        TryLater: MongoDB, the catalog or its tables were not there within a minute.
    """
    be_modest()
    async with (
        telling(settings.metrics_host, settings.lake_jobs_metrics_port) as health,
        assembled(settings, health, SystemClock(), stop) as parts,
    ):
        await run_all(parts, stop)


@asynccontextmanager
async def assembled(
    settings: JobsSettings, health: Health, clock: Clock, stop: asyncio.Event
) -> AsyncGenerator[Sequence[JobWorker | Tidying]]:
    """The worker, once MongoDB, the catalog and its tables are there; closed again on the way out."""
    store = JobStore(settings, f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}")
    results = results_of(settings)
    limits = Limits(
        memory_mb=settings.lake_query_memory_mb,
        address_space_mb=settings.lake_query_address_space_mb,
        spill_mb=settings.lake_query_disk_mb,
        user=settings.lake_query_user or None,
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        catalog = await until_available(partial(asyncio.to_thread, Catalog.of_local_files, settings), stop)
        stack.callback(catalog.close)
        await until_available(store.prepare, stop)
        runner = Runner(catalog, results, stack.enter_context(scratch()), limits)
        # Writer and maintenance make the tables; a query that came before them would fail.
        await until_available(partial(asyncio.to_thread, runner.look), stop)
        worker = JobWorker(
            store,
            runner,
            clock,
            at_once=settings.lake_queries_at_once,
            per_key=settings.lake_queries_per_key,
        )
        health.add("jobs", worker.problem)
        yield [worker, Tidying(store, results, clock, int(settings.lake_result_hours * 3_600_000))]
