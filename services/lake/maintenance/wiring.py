"""The composition root of maintenance: the only place that joins its parts."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from common.clock import Clock, SystemClock
from common.contracts import Stream
from common.health import Health
from common.process import run_all, telling, until_available
from lake.maintenance.compaction import LogCompaction
from lake.maintenance.expiry import Expiry, Keep
from lake.maintenance.latest import LatestTables
from lake.maintenance.rounds import Chore, Rounds
from lake.modesty import be_modest
from lake.scratch import scratch
from lake.settings import MaintenanceSettings
from lake.writer.log_table import LogTable
from twinstream_lake.catalog import Catalog
from twinstream_lake.engine import Engine
from twinstream_lake.layout import latest_name, log_name

_MINUTE_MS = 60_000
_HOUR_MS = 60 * _MINUTE_MS


async def run(settings: MaintenanceSettings, stop: asyncio.Event) -> None:
    """Work until `stop` is set.

    Raises:
        CannotStart: the configuration must change.
        TryLater: the catalog was not there within a minute.
    """
    be_modest()
    async with (
        telling(settings.metrics_host, settings.lake_maintenance_metrics_port) as health,
        assembled(settings, health, SystemClock(), stop) as parts,
    ):
        await run_all(parts, stop)


@asynccontextmanager
async def assembled(
    settings: MaintenanceSettings, health: Health, clock: Clock, stop: asyncio.Event
) -> AsyncGenerator[Sequence[Rounds]]:
    """The rounds, once the catalog is there."""
    async with AsyncExitStack() as stack:
        catalog = await until_available(partial(asyncio.to_thread, Catalog.of_local_files, settings), stop)
        stack.callback(catalog.close)
        engine = Engine(settings.lake_memory_mb, stack.enter_context(scratch()))
        latest = LatestTables(catalog, engine, settings.lake_shard_rows)
        await until_available(partial(asyncio.to_thread, latest.prepare), stop)
        for stream in Stream:
            await until_available(partial(asyncio.to_thread, LogTable(catalog, stream).prepare), stop)
        rounds = Rounds(chores(settings, catalog, engine, latest, clock))
        health.add("maintenance", rounds.problem)
        yield [rounds]


def chores(
    settings: MaintenanceSettings, catalog: Catalog, engine: Engine, latest: LatestTables, clock: Clock
) -> list[Chore]:
    """What there is to do, in its order: a tombstone goes once the latest knows of it, a file once nobody does."""
    keep = Keep(
        age_ms=int(settings.lake_snapshot_hours * _HOUR_MS),
        snapshots=settings.lake_snapshots,
        grace_ms=int(settings.lake_grace_minutes * _MINUTE_MS),
    )
    rebuilds = [
        Chore(f"latest {stream}", settings.lake_latest_minutes * 60, partial(latest.rebuild, stream))
        for stream in Stream
    ]
    compactions = [
        Chore(
            f"compaction {stream}",
            settings.lake_compaction_minutes * 60,
            LogCompaction(catalog, engine, stream, clock, settings.lake_small_files).run,
        )
        for stream in Stream
    ]
    expiries = [
        Chore(f"expiry {table}", settings.lake_expiry_minutes * 60, Expiry(catalog, table, clock, keep).run)
        for stream in Stream
        for table in (log_name(stream), latest_name(stream))
    ]
    return [*rebuilds, *compactions, *expiries]
