"""A query of a stranger: each thing that it must not do is tried, ends with a clear error, and harms nobody."""

import asyncio
import io
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.analytics import Format, StoredJob, page_path
from common.contracts import Stream
from lake.jobs.frames import Task
from lake.jobs.query import answer
from lake.jobs.runner import Limits, Outcome, Runner
from lake.maintenance.latest import LatestTables
from lake.writer.log_table import LogTable
from lake.writer.rows import read
from twinstream_lake.engine import Engine
from twinstream_lake.pins import pin
from twinstream_lake.views import views

LONG = "range(100000) a, range(100000) b, range(1000) c where hash(a.range, b.range, c.range) = 1"
LIMITS = Limits(memory_mb=256, address_space_mb=3_000, spill_mb=64, user="nobody")

REFUSED = [
    "select * from read_text('/etc/passwd')",
    "select * from read_blob('{data}/../../../catalog.db')",
    "select * from read_csv('/proc/self/environ')",
    "select * from glob('/*')",
    "select * from '{other}'",
    "select * from read_parquet('{data}/../secret.parquet')",
    "select * from parquet_metadata('{other}')",
    "select * from sniff_csv('/etc/passwd')",
    "select * from read_csv('http://127.0.0.1:8000/healthz')",
    "attach '{other}' as other",
    "attach ':memory:' as other",
    "copy b to '{file}'",
    "copy (select 1) to '{new}'",
    "explain analyze copy (select 1) to '{file}'",
    "explain select 1",
    "export database '{new}'",
    "import database '/tmp'",
    "install httpfs",
    "load httpfs",
    "pragma database_list",
    "set enable_external_access = true",
    "set memory_limit = '100GB'",
    "reset lock_configuration",
    "call pragma_version()",
    "create table t as select 1",
    "create or replace view b as select 1",
    "insert into b select * from b",
    "drop view b",
    "checkpoint",
    "prepare p as select 1",
    "begin",
    "use memory",
    "select 1; select 2",
    "select 1; copy (select 1) to '{new}'",
    "",
    "-- nothing",
]
INVALID = ["selec 1", "select * from nowhere", "select getenv('HOME')", "select none from b", "select $1", "from env"]


@pytest.fixture
def small(lake) -> dict[str, str]:
    """Twenty A and B, one latest; and paths that a query would like to reach."""
    for stream in Stream:
        table = LogTable(lake.catalog, stream)
        table.prepare()
        table.positions()
        entries = [_Tombstone(n) for n in range(20)]
        table.append([_filled(read(stream, 0, entries).batch)], {}, {0: 20})
    latest = LatestTables(lake.catalog, Engine(128), 1_000)
    latest.prepare()
    latest.rebuild(Stream.A)
    (file,) = pin(lake.catalog, Stream.B).log.files
    folder = Path(lake.settings.lake_warehouse)
    pq.write_table(pa.table({"secret": [1]}), folder / "other.parquet")
    other, new = str(folder / "other.parquet"), str(folder / "new")
    return {"file": file, "data": str(Path(file).parent), "other": other, "new": new}


class _Tombstone:
    """A message of the log."""

    value = None
    timestamp = 1_700_000_000_000
    headers = ()

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.key = f"id-{offset:02}".encode()


def _filled(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same as records: versions with a number and a text."""
    columns = {name: batch.column(name) for name in batch.schema.names}
    rows = batch.num_rows
    columns |= {"erased": pa.array([False] * rows), "number": pa.array([float(n) for n in range(rows)])}
    columns |= {"text": pa.array([f"text {n}" for n in range(rows)]), "content_hash": pa.array(range(rows), pa.int64())}
    for name in ("event_time", "ingested_at"):
        columns[name] = columns["kafka_timestamp"]
    if "Stream_A_unique_identifier" in columns:
        columns["Stream_A_unique_identifier"] = pa.array([f"id-{n % 3:02}" for n in range(rows)])
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=batch.schema)


@pytest.fixture
def ask(lake, small, tmp_path) -> Callable[..., Any]:
    """Run a query as the service does; returns its outcome and its pages."""
    runner = Runner(lake.catalog, tmp_path / "results", tmp_path, LIMITS)

    async def ask(sql: str, job_id: str = "job", parameters: object = (), **asked: Any) -> tuple[Outcome, list[bytes]]:
        known = {
            "parameters": json.dumps(parameters),
            "format": Format.JSON,
            "max_rows": 1_000,
            "max_bytes": 1_000_000,
            "page_rows": 100,
        }
        known |= {"timeout_seconds": 120.0, "request_sha256": "", "created_at": 0, "expires": datetime.now(UTC)}
        job = StoredJob(id=job_id, key_id="k", sql=sql.format(**small), **{**known, **asked})

        async def progressed(_share: float) -> None:
            """Nobody is told."""

        outcome = await runner.run(job, progressed)
        return outcome, [page_path(tmp_path / "results", job_id, n).read_bytes() for n in range(outcome.pages)]

    return ask


@pytest.fixture
def task(lake, small, tmp_path) -> Task:
    """What a child is told, without one."""
    pins = {stream: pin(lake.catalog, stream) for stream in Stream}
    return Task(
        sql="",
        parameters=[],
        views=views(pins),
        files=[small["file"], *pins[Stream.A].latest.files, *pins[Stream.A].log.files],
        format=Format.JSON,
        max_rows=10,
        max_bytes=10_000,
        page_rows=10,
        spill=str(tmp_path / "spill"),
        spill_mb=10,
        memory_mb=100,
        address_space_mb=3_000,
        cpu_seconds=10,
        worker=os.getpid(),
        user=None,
    )


def state_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_what_may_be_asked_is_answered(ask) -> None:
    """Every view, with joins, parameters, and the statements that are as good as a select."""
    outcome, (page,) = await ask(
        "select Stream_A_unique_identifier, count(*) n from b where number >= ? group by 1 order by 1", parameters=[0.0]
    )
    assert (outcome.code, json.loads(page)) == (None, [["id-00", 7], ["id-01", 7], ["id-02", 6]])
    assert [column.name for column in outcome.columns] == ["Stream_A_unique_identifier", "n"]
    _, (page,) = await ask(
        "with x as (from a_latest) select count(*), max(x.text) from x join b on b.Stream_A_unique_identifier = "
        "x.unique_identifier where x.number > $least",
        parameters={"least": 1},
    )
    assert json.loads(page) == [[6, "text 2"]]
    _, (page,) = await ask("show tables")
    assert [name for (name,) in json.loads(page)] == ["a", "a_latest", "a_log", "b", "b_latest", "b_log"]
    assert (await ask("describe b"))[0].rows == 8


def test_a_query_that_nobody_waits_for_does_not_begin(task) -> None:
    """Its worker was killed before the kernel knew that this ends with it: another process is its parent by now."""
    Path(task.spill).mkdir()
    orphan = msgspec.structs.replace(task, sql="select 1", worker=os.getpid() + 1)
    ran = subprocess.run(
        [sys.executable, "-I", "-m", "lake.jobs.child"],
        input=msgspec.json.encode(orphan),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode != 0
    assert ran.stdout == b""
    assert b"the worker ended" in ran.stderr


def test_what_a_query_must_not_do_is_refused(task, small, lake) -> None:
    """By DuckDB or before it; the lake's files, and the folders around them, are as they were."""
    folder = Path(lake.settings.lake_warehouse)
    before = state_of(folder)
    ended = {
        sql: answer(msgspec.structs.replace(task, sql=sql.format(**small)), io.BytesIO()) for sql in REFUSED + INVALID
    }
    expected = {**dict.fromkeys(REFUSED, "query_forbidden"), **dict.fromkeys(INVALID, "query_invalid")}
    assert {sql: one.code for sql, one in ended.items()} == expected
    assert all(one.detail for one in ended.values())
    assert state_of(folder) == before


@pytest.mark.parametrize("sql", [REFUSED[0], "copy b to '{file}'", "explain analyze copy (select 1) to '{file}'"])
async def test_it_is_refused_in_a_process_of_its_own_too(ask, lake, sql) -> None:
    folder = Path(lake.settings.lake_warehouse)
    before = state_of(folder)
    assert (await ask(sql))[0].code == "query_forbidden"
    assert state_of(folder) == before


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("select repeat('x', 2000000000)", "query_out_of_memory"),
        ("select list(i) from range(200000000) t(i)", "query_out_of_memory"),
        ("select count(*) from (from range(30000000) t(i) order by hash(i), repeat('x', 50))", "query_out_of_disk"),
        (f"select count(*) from {LONG}", "query_timeout"),
        ("select list_distinct(range(30000000))", "query_timeout"),
    ],
)
async def test_what_takes_too_much_is_ended(ask, sql, code, tmp_path) -> None:
    """Memory, disk, time: each with an error that says which, and with nothing left behind."""
    seconds = 3.0 if code == "query_timeout" else 300.0
    began = asyncio.get_running_loop().time()
    outcome, pages = await ask(sql, timeout_seconds=seconds)
    assert (outcome.code, pages) == (code, [])
    assert outcome.detail
    if code == "query_timeout":
        assert asyncio.get_running_loop().time() - began < seconds + 10
    children = [child.cmdline() for child in psutil.Process().children()]
    assert not [line for line in children if "lake.jobs.child" in line]
    assert not list(tmp_path.glob("query-*"))


async def test_a_query_that_is_given_up_ends_at_once(ask, monkeypatch) -> None:
    """Its process with it, in the middle of what it does, which is only done while nobody else wants the processor."""
    monkeypatch.setattr("lake.jobs.runner._STEPS_BACK", True)
    asking = asyncio.create_task(ask(f"select count(*) from {LONG}"))
    async with asyncio.timeout(60):
        while not (children := [c for c in psutil.Process().children() if "lake.jobs.child" in c.cmdline()]):
            await asyncio.sleep(0.05)
        while [os.sched_getscheduler(child.pid) for child in children] != [os.SCHED_IDLE]:
            await asyncio.sleep(0.05)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert not any(child.is_running() for child in children)


async def test_rows_and_bytes_have_an_end(ask) -> None:
    """What is beyond it is left out, and that is said."""
    outcome, pages = await ask("select i from range(100000) t(i)", max_rows=250)
    assert (outcome.rows, outcome.truncated, [len(json.loads(page)) for page in pages]) == (250, True, [100, 100, 50])
    outcome, pages = await ask("select i, repeat('x', 1000) from range(100000) t(i)", max_bytes=50_000)
    assert outcome.truncated
    assert 25_000 < sum(map(len, pages)) <= 50_000
    outcome, pages = await ask("select i from range(250) t(i)", max_rows=250)
    assert (outcome.rows, outcome.truncated) == (250, False)
    outcome, pages = await ask("select repeat('x', 5000) where true", max_bytes=1_000)
    assert (outcome.rows, outcome.truncated, pages) == (0, True, [b"[]"])


async def test_every_format_says_the_same(ask) -> None:
    """A page of Arrow or Parquet is complete in itself; those of CSV make one file."""
    sql = "select unique_identifier id, number, event_time, null as nothing, [1, 2] as many from b order by 1"
    outcome, pages = await ask(sql, format=Format.ARROW, page_rows=15)
    arrow = pa.concat_tables([pa.ipc.open_stream(page).read_all() for page in pages])
    assert (len(pages), arrow.num_rows, outcome.rows) == (2, 20, 20)
    _, pages = await ask(sql, format=Format.PARQUET, page_rows=15)
    assert pa.concat_tables([pq.read_table(pa.BufferReader(page)) for page in pages]).column(0) == arrow.column(0)
    _, pages = await ask(sql, format=Format.CSV, page_rows=15)
    lines = b"".join(pages).decode().splitlines()
    assert (len(lines), lines[0], lines[1]) == (
        21,
        "id,number,event_time,nothing,many",
        'id-00,0.0,2023-11-14T22:13:20Z,,"[1,2]"',
    )
    _, pages = await ask(sql)
    assert json.loads(pages[0])[0] == ["id-00", 0.0, "2023-11-14T22:13:20Z", None, [1, 2]]


async def test_a_result_without_rows_tells_its_columns(ask) -> None:
    outcome, pages = await ask("select number from b where false", format=Format.CSV)
    assert (outcome.rows, pages) == (0, [b"number\r\n"])


TRIES = {
    "read": "open('/etc/passwd').read()",
    "list": "__import__('os').listdir('/')",
    "write": "open({new!r}, 'w')",
    "overwrite": "open({file!r}, 'r+b')",
    "delete": "__import__('os').unlink({file!r})",
    "rename": "__import__('os').rename({file!r}, {new!r})",
    "link": "__import__('os').symlink('/etc/passwd', {own!r} + '/link')",
    "environment": "open('/proc/{parent}/environ').read()",
    "signal": "__import__('os').kill({parent}, 0)",
    "network": "__import__('socket').create_connection(('127.0.0.1', {port}), 1)",
    "run": "__import__('subprocess').run(['/usr/bin/env'], check=True)",
    "large file": "open({own!r} + '/large', 'wb').write(b'x' * 10_000_000)",
    "memory": "bytearray(4_000_000_000)",
}
ALLOWED = {"file": "open({file!r}, 'rb').read()", "own folder": "open({own!r} + '/spill', 'wb').write(b'x')"}


def test_the_kernel_holds_what_duckdb_would_let_through(small, tmp_path, servers) -> None:
    """Python itself, once it is confined, can do none of it: what counts is not which library asks."""
    own = tmp_path / "own"
    own.mkdir(mode=0o700)
    names = {**small, "own": str(own), "parent": os.getpid(), "port": servers.profile.ports["redis"]}
    tries = {name: code.format(**names) for name, code in (TRIES | ALLOWED).items()}
    program = f"""
        import json, resource, signal
        from lake.jobs.confinement import confine
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limits = {{resource.RLIMIT_FSIZE: 1_000_000, resource.RLIMIT_AS: 3_000_000_000}}
        held = confine(reading=[{small["file"]!r}], owning={str(own)!r}, user="nobody", limits=limits)
        done = []
        for name, code in {tries!r}.items():
            try:
                eval(code)
                done.append(name)
            except (OSError, MemoryError):
                pass
        print(json.dumps([held, done]))
    """
    command = [sys.executable, "-I", "-c", textwrap.dedent(program)]
    ran = subprocess.run(command, capture_output=True, check=True)  # noqa: S603  # our own
    held, done = json.loads(ran.stdout)
    assert held["files"]
    assert held["network"]
    assert held["capabilities"]
    assert done == list(ALLOWED)
