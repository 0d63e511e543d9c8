"""The lake: writing against a bare loop, commits after a day of them, questions against bare DuckDB on its files."""

import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import lake_rebuilding
import lake_workload as workload
import lake_writing
import polars as pl
from harness.figures import Figure, figure, paired
from spark_questions import Question, spark

from common.clock import ManualClock, SystemClock
from common.contracts import Stream
from common.settings import LakeSettings
from lake.maintenance.expiry import Expiry, Keep
from lake.maintenance.latest import LatestTables
from lake.writer.log_table import LogTable
from twinstream_lake.catalog import Catalog
from twinstream_lake.engine import Engine
from twinstream_lake.lake import open_lake
from twinstream_lake.layout import latest_name
from twinstream_lake.pins import pin

ROUNDS = 5
WRITTEN_ROWS = 200_000
REBUILT_ROWS = 10_000, 400_000  # documents, windows
COMMITS_OF_A_DAY = 288
COMMITS_OF_AN_HOUR = 12
ROWS_OF_A_COMMIT = 500  # what is in it does not matter to what a commit costs beyond it
APPEND_ROWS = 250_000
AIM_DAY, AIM_QUESTION = 2.0, 1.2

TOP = "SELECT Stream_A_unique_identifier, count(*) AS n FROM {} GROUP BY ALL ORDER BY n DESC, 1 LIMIT 10"


async def run(*, quick: bool) -> list[Figure]:
    figures = await lake_writing.measured(2 if quick else ROUNDS, 20_000 if quick else WRITTEN_ROWS)
    figures += await lake_rebuilding.measured(ROUNDS, *((1_000, 10_000) if quick else REBUILT_ROWS))
    figures += _day(24 if quick else COMMITS_OF_A_DAY)
    with spark() as in_spark:
        for millions, rounds in [(0.1, 2)] if quick else [(1, ROUNDS), (10, 3)]:
            figures += await _questions(rounds, int(millions * 1_000_000), in_spark)
    return figures


def _lake(folder: str) -> tuple[LakeSettings, Catalog]:
    settings = LakeSettings(lake_catalog_uri=f"sqlite:///{folder}/catalog.db", lake_warehouse=f"{folder}/warehouse")
    return settings, Catalog(settings)


def _day(commits: int) -> list[Figure]:
    """A day of commits, with an expiry every hour of it; the last against the first."""
    with TemporaryDirectory() as folder:
        _, catalog = _lake(folder)
        table = LogTable(catalog, Stream.B)
        table.prepare()
        keep = Keep(age_ms=0, snapshots=COMMITS_OF_AN_HOUR, grace_ms=0)
        expiry = Expiry(catalog, "b_log", ManualClock(SystemClock().now_ms() + 10**8), keep)
        batch = workload.rows(0, ROWS_OF_A_COMMIT, ROWS_OF_A_COMMIT).to_batches()
        took: list[float] = []
        for number in range(commits):
            believed = table.positions()
            started = time.perf_counter()
            table.append(batch, believed, {0: number + 1})
            took.append(time.perf_counter() - started)
            if number % COMMITS_OF_AN_HOUR == COMMITS_OF_AN_HOUR - 1:
                expiry.run()
    first, last = took[1 : 1 + COMMITS_OF_AN_HOUR], took[-COMMITS_OF_AN_HOUR:]
    ratio = statistics.median(last) / statistics.median(first)
    return [
        figure("commit, after a day of them / at first", "ratio", [ratio], better="lower", aim=AIM_DAY),
        figure("commit, after a day of them", "ms", [one * 1000 for one in last], better="lower"),
    ]


async def _questions(rounds: int, count: int, in_spark: Question | None) -> list[Figure]:
    """The ten A with most B, of log, latest and fresh view, against bare DuckDB on the very files."""
    size = f"{count / 1_000_000:g}M rows"
    with TemporaryDirectory() as folder:
        settings, catalog = _lake(folder)
        latest = LatestTables(catalog, Engine(512), 5_000_000)
        latest.prepare()
        LogTable(catalog, Stream.A).prepare()
        bytes_per_row = _fill(catalog, count)
        started = time.perf_counter()
        latest.rebuild(Stream.B)
        figures = [
            figure(f"latest rebuilt, {size}", "s", [time.perf_counter() - started], better="lower"),
            figure(f"on disk, {size}", "bytes/row", [bytes_per_row], better="lower"),
        ]
        # Opened once: to pin a state is planning, and done once for a query, however long it is.
        lake = open_lake(settings=settings, memory_mb=1024, niceness=0)
        pins = pin(catalog, Stream.B)
        for name, files in (("b_log", pins.log.files), (latest_name(Stream.B), pins.latest.files)):
            view, bare = _seconds(_asked(lake.connection, TOP.format(name))), _seconds(_bare(files))
            _, _, ratios = await paired(rounds, view, bare)
            aim = AIM_QUESTION
            figures.append(figure(f"top 10 of {name}, {size} / bare DuckDB", "ratio", ratios, better="lower", aim=aim))
            _, _, others = await paired(rounds, _seconds(_polars(files)), bare)
            figures.append(figure(f"top 10 of {name} in Polars, {size} / bare DuckDB", "ratio", others, better="lower"))
            if in_spark is not None:
                duckdb_s, spark_s = _wall(_bare(files)), in_spark(files, TOP)
                _, _, sparks = await paired(rounds, spark_s, duckdb_s)
                about = f"top 10 of {name} in Spark, {size} / bare DuckDB, by the clock"
                figures.append(figure(about, "ratio", sparks, better="lower"))
        _, _, fresh = await paired(
            rounds, _seconds(_asked(lake.connection, TOP.format("b"))), _seconds(_bare(pins.latest.files))
        )
        figures.append(figure(f"top 10 of b, {size} / bare DuckDB on the latest", "ratio", fresh, better="lower"))
        lake.connection.close()
    return figures


def _fill(catalog: Catalog, count: int) -> float:
    table = LogTable(catalog, Stream.B)
    table.prepare()
    for rows in workload.batches(0, count, count, APPEND_ROWS):
        believed = table.positions()
        end = (sum(believed.values()) + rows.num_rows) // workload.PARTITIONS
        table.append(rows.to_batches(), believed, dict.fromkeys(range(workload.PARTITIONS), end))
    files = pin(catalog, Stream.B).log.files
    return sum(Path(file).stat().st_size for file in files) / count


def _asked(connection: duckdb.DuckDBPyConnection, query: str) -> Callable[[], object]:
    return lambda: connection.sql(query).fetchall()


def _bare(files: tuple[str, ...]) -> Callable[[], object]:
    connection = duckdb.connect(config={"threads": "1", "memory_limit": "1024MB"})
    listed = ", ".join(f"'{file}'" for file in files)
    return _asked(connection, TOP.format(f"read_parquet([{listed}], hive_partitioning=false)"))


def _polars(files: tuple[str, ...]) -> Callable[[], object]:
    column = "Stream_A_unique_identifier"
    frame = pl.scan_parquet(list(files), hive_partitioning=False).group_by(column).len("n")
    return lambda: frame.sort(["n", column], descending=[True, False]).head(10).collect()


def _seconds(work: Callable[[], object]) -> Callable[[], Awaitable[float]]:
    """Seconds of this process's processors, for the machine is shared."""

    async def measure() -> float:
        started = time.process_time()
        work()
        return time.process_time() - started

    return measure


def _wall(work: Callable[[], object]) -> Callable[[], Awaitable[float]]:
    """Seconds by the clock, beside what runs in other processes."""

    async def measure() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return measure
