"""Maintenance that is killed in the middle of whatever it does breaks no query, and loses no row and no file."""

import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Self

import pytest

from common.contracts import Stream
from common.errors import TryLater
from twinstream_lake.catalog import Catalog
from twinstream_lake.engine import Engine
from twinstream_lake.pins import pin
from twinstream_lake.views import views

GRACE_S = 6.0
KILLS = 5

# All chores in their turn; it says when it begins, for until then it only loads what it needs.
CHORES = """
    import sys
    from common.clock import SystemClock
    from common.settings import load
    from twinstream_lake.engine import Engine
    from lake.maintenance.latest import LatestTables
    from lake.maintenance.wiring import chores
    from lake.settings import MaintenanceSettings
    from twinstream_lake.catalog import Catalog

    settings = load(MaintenanceSettings)
    catalog, engine = Catalog(settings), Engine(256)
    latest = LatestTables(catalog, engine, 20)
    todo = [one for one in chores(settings, catalog, engine, latest, SystemClock()) if " b" in one.name]
    print("begins", flush=True)
    for chore in todo:
        chore.do()
"""


class Reading(threading.Thread):
    """Queries all the time: each sees every row that was committed when it began, once."""

    def __init__(self, settings) -> None:
        super().__init__()
        self._catalog = Catalog(settings)
        self._over = threading.Event()
        self.answered = 0
        self.broken: list[str] = []

    def run(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            try:
                fault = self._ask()
            except TryLater as error:
                fault = str(error)
            if fault is None:
                self.answered += 1
                time.sleep(0.05)
            elif time.monotonic() - began < GRACE_S:  # a query that takes longer than the grace has no promise
                self.broken.append(fault)

    def _ask(self) -> str | None:
        pinned = pin(self._catalog, Stream.B)
        queries, expected = views({Stream.B: pinned}), sum(pinned.log.positions.values())
        (rows,) = Engine(256).rows(f"SELECT count(*) FROM ({queries['b_log']})")[0]
        ids = Engine(256).rows(f"SELECT count(*), count(DISTINCT unique_identifier) FROM ({queries['b']})")[0]
        return None if rows == expected and ids[0] == ids[1] else f"{rows} rows of {expected}, {ids}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()
        self._catalog.close()


def environment(settings) -> dict[str, str]:
    minutes = str(GRACE_S / 60)
    return {
        **os.environ,
        "TWINSTREAM_LAKE_CATALOG_URI": settings.lake_catalog_uri.get_secret_value(),
        "TWINSTREAM_LAKE_WAREHOUSE": settings.lake_warehouse,
        "TWINSTREAM_LAKE_SMALL_FILES": "1",
        "TWINSTREAM_LAKE_SNAPSHOTS": "1",
        "TWINSTREAM_LAKE_SNAPSHOT_HOURS": "0.01",
        "TWINSTREAM_LAKE_GRACE_MINUTES": minutes,
    }


def tended(settings, killed_after_s: float | None = None) -> float:
    """Do all chores, or as many as are done in so many seconds; how long they took, 0 when they were not done."""
    command = [sys.executable, "-c", textwrap.dedent(CHORES)]
    process = subprocess.Popen(command, env=environment(settings), stdout=subprocess.PIPE)  # noqa: S603  # our own
    assert process.stdout is not None
    assert process.stdout.readline() == b"begins\n"
    began = time.monotonic()
    try:
        process.wait(killed_after_s)
    except subprocess.TimeoutExpired:
        process.kill()
    process.stdout.close()
    assert process.wait() in {0, -9}
    return 0.0 if process.returncode else time.monotonic() - began


@pytest.mark.long
def test_kill_9_at_random_moments_breaks_no_query_and_loses_no_file(history) -> None:
    """Rebuilds, compactions and expiries, killed between their beginning and their end, and records in between."""
    chance, settings = random.Random(5), history.lake.settings
    number = 0

    def more() -> None:
        nonlocal number
        for _ in range(4):
            number += 1
            history.say(f"id-{number % 40}", text=f"{number}", event_time=number)
            history.write()

    more()
    with Reading(settings) as reading:
        whole_s = tended(settings)
        killed = 0
        while killed < KILLS:
            more()
            done_s = tended(settings, chance.random() * whole_s)
            killed += not done_s
            whole_s = done_s or whole_s
    assert reading.broken == []
    assert reading.answered > 0
    history.latest.rebuild(Stream.B)
    history.compact()
    for table in ("b_log", "b_latest"):
        history.expire(table)
    assert history.seen("b") == history.seen("b_latest") == history.expected()
    assert sorted(int(row["text"]) for row in history.lake.rows()) == [n + 1 for n in range(number)]
    pinned = pin(history.lake.catalog, Stream.B)
    on_disk = {str(path) for path in Path(settings.lake_warehouse).rglob("*.parquet")}
    assert on_disk == {path.removeprefix("file://") for path in (*pinned.log.files, *pinned.latest.files)}
