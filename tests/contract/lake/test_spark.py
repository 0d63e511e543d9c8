"""Spark reads the same catalog and the same files, and says what DuckDB says."""

import csv
import io
import os
import random
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from common.clock import ManualClock
from common.contracts import RECORD, Stream
from common.kafka.batches import Logged
from lake.maintenance.compaction import LogCompaction
from lake.maintenance.latest import LatestTables
from lake.writer.log_table import LogTable
from lake.writer.rows import read
from twinstream_lake.engine import Engine
from twinstream_lake.lake import open_lake

ROOT = Path(__file__).parents[3]
NOW_MS = 1_790_000_000_000
TOP = "select Stream_A_unique_identifier, count(*) n from b group by 1 order by n desc, 1 limit 10"
ROWS = (
    "select unique_identifier, number, text, {us}(event_time) e, {us}(ingested_at) i, content_hash, {us}(first_seen) f "
    "from {of} order by 1"
)
LOG = (
    "select kafka_partition, kafka_offset, unique_identifier, erased, text, {us}(kafka_timestamp) t from b_log "
    "order by 1, 2"
)


def history(stream: Stream, messages: int) -> list[Logged]:
    """Versions in any order of few ids, and erasures; the second half of them a day later."""
    chance, found = random.Random(messages), []
    for n in range(messages):
        id_, at = f"{stream}-{chance.randrange(messages // 3)}", NOW_MS + n + (86_400_000 if n * 2 > messages else 0)
        parent = {"a_id": f"a-{min(chance.randrange(40), chance.randrange(40))}"} if stream is Stream.B else {}
        fields = {"number": chance.random() * 1e6, "text": f'no. {n}, “ü”\n"{chance.random()}"', **parent}
        record = RECORD[stream](id=id_, event_time=at - chance.randrange(10**8), ingested_at=at * 1_000 + 7, **fields)
        value = None if chance.random() < 0.05 else msgspec.json.encode(record)
        found.append(Logged(n, id_.encode(), value, at))
    return found


@pytest.fixture
def full(lake) -> Any:
    """Both streams: a latest that is behind the log, files that were compacted, tombstones on either side."""
    for stream, messages in ((Stream.A, 90), (Stream.B, 900)):
        table, entries = LogTable(lake.catalog, stream), history(stream, messages)
        table.prepare()
        latest = LatestTables(lake.catalog, Engine(128), 1_000)
        latest.prepare()
        for start in range(0, messages, messages // 6):
            some = entries[start : start + messages // 6]
            table.append([read(stream, 0, some).batch], table.positions(), {0: start + len(some)})
            if start == messages // 2:
                latest.rebuild(stream)
                LogCompaction(lake.catalog, Engine(128), stream, ManualClock(NOW_MS + 10**9), 2).run()
    return lake


def asked(settings: Any, *statements: str) -> subprocess.CompletedProcess[str]:
    """What the command of the documentation comes to."""
    where = {
        "TWINSTREAM_LAKE_CATALOG_URI": settings.lake_catalog_uri.get_secret_value(),
        "TWINSTREAM_LAKE_WAREHOUSE": settings.lake_warehouse,
        "ARGS": " ".join(["--csv", *(f"'{statement}'" for statement in statements)]),
    }
    # What was said to the make that runs the tests, ARGS above all, is not meant for this one.
    elsewhere = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    return subprocess.run(  # noqa: S603  # our own
        ["make", "--silent", "-C", ROOT, "spark"],  # noqa: S607  # the one in the path
        env={**elsewhere, **where},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )


def spark(settings: Any, *statements: str) -> list[list[str]]:
    """The rows of all of `statements`."""
    ran = asked(settings, *statements)
    assert ran.returncode == 0, ran.stderr
    return list(csv.reader(io.StringIO(ran.stdout)))


@pytest.mark.long
def test_spark_says_what_duckdb_says(full) -> None:
    """The A with most B, every newest version of both streams, and every row of the log."""
    before = Path(full.settings.lake_warehouse).parent.joinpath("catalog.db").read_bytes()
    questions = [TOP, *(ROWS.replace("{of}", of) for of in ("a", "b", "b_latest")), LOG]
    lake = open_lake(settings=full.settings, niceness=0)
    expected: list[list[Any]] = []
    for statement in questions:
        found = lake.sql(statement.replace("{us}", "epoch_us"))
        expected += [found.columns, *map(list, found.fetchall())]
    said = spark(full.settings, *(statement.replace("{us}", "unix_micros") for statement in questions))
    assert [[plain(value) for value in row] for row in said] == [[plain(value) for value in row] for row in expected]
    assert Path(full.settings.lake_warehouse).parent.joinpath("catalog.db").read_bytes() == before


@pytest.mark.long
def test_without_a_lake_spark_says_so(lake) -> None:
    """Its database is there and no table in it; in a sentence, not in a hundred lines of Java."""
    ran = asked(lake.settings, TOP)
    assert ran.returncode != 0
    said = ran.stdout + ran.stderr
    assert "Spark finds no lake: " in said
    assert "Traceback" not in said
    assert "\tat " not in said


def plain(value: Any) -> Any:
    """Numbers as numbers, whoever wrote them; nothing and false alike."""
    text = "" if value is None else str(value)
    try:
        return float(text)
    except ValueError:
        return text
