"""Projects on a small lake: the helper, what `twinstream project new` makes, and the finished examples as scripts."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import polars as pl
import pytest

from common.clock import SystemClock
from common.contracts import RECORD, IncomingB, Stream
from common.kafka.batches import Logged
from lake.maintenance.latest import LatestTables
from lake.writer.log_table import LogTable
from lake.writer.rows import read
from twinstream.demo.command import made_up
from twinstream.demo.debian import debian
from twinstream.demo.shape import Shape
from twinstream.project.command import notebook
from twinstream_lake.catalog import Catalog
from twinstream_lake.engine import Engine
from twinstream_lake.lake import Lake, open_lake
from twinstream_lake.pins import pin
from twinstream_lake.views import views

ROOT = Path(__file__).parents[3]
BEGIN_MS = 1_790_000_000_000
MINUTE_MS = 60_000


def append(catalog, stream: Stream, records: list[dict]) -> None:
    table = LogTable(catalog, stream)
    table.prepare()
    believed = table.positions()
    start = believed.get(0, 0)
    entries = []
    for n, fields in enumerate(records):
        parent = {"a_id": f"a-{n % 5}"} if stream is Stream.B else {}
        record = RECORD[stream](**{"ingested_at": BEGIN_MS * 1000, **parent, **fields})
        entries.append(Logged(start + n, record.id.encode(), msgspec.json.encode(record), BEGIN_MS))
    if entries:
        table.append([read(stream, 0, entries).batch], believed, {0: start + len(entries)})


@pytest.fixture
def planted(lake):
    """Sixty minutes of B: three times as many after a minute with an outage; complaints have large numbers."""
    records, number = [], 0
    for minute in range(60):
        warns, rises = minute % 12 == 5, minute % 12 == 6
        for n in range(30 if rises else 10):
            complains = number % 3 == 0
            mood, event = ("broken device", "friendly greeting"), ("outage reported", "ordinary day")
            said = (mood[not complains], event[not warns])
            fields = {"id": f"b-{number}", "number": 100.0 + n if complains else 1.0 + n, "text": " ".join(said)}
            records.append({**fields, "event_time": BEGIN_MS + minute * MINUTE_MS + n})
            number += 1
    append(lake.catalog, Stream.A, [])
    append(lake.catalog, Stream.B, records)
    latest = LatestTables(lake.catalog, Engine(128), 1_000)
    latest.prepare()
    latest.rebuild(Stream.B)
    append(lake.catalog, Stream.B, [{"id": "b-0", "number": 7.0, "text": "changed", "event_time": BEGIN_MS + 10**7}])
    return lake


@pytest.fixture
def demo(lake):
    """What `twinstream demo` streams on this machine."""
    now_ms = SystemClock().now_ms()
    source = debian(now_ms) or made_up(Shape(records=5_000, a_ids=500), now_ms, None)
    sent = {stream: [] for stream in Stream}
    for record in source.records:
        fields = {"id": str(record.id), "number": float(record.number), "text": record.text}
        parent = {"a_id": str(record.a_id)} if isinstance(record, IncomingB) else {}
        of = sent[Stream.B if parent else Stream.A]
        of.append(
            {**fields, **parent, "event_time": record.event_time or now_ms, "ingested_at": now_ms * 1000 + len(of)}
        )
    for stream, records in sent.items():
        append(lake.catalog, stream, records)
    LatestTables(lake.catalog, Engine(128), 1_000_000).prepare()
    return lake


@pytest.fixture
def opened(planted) -> Lake:
    return open_lake(settings=planted.settings, memory_mb=256, niceness=0)


def environment(settings) -> dict[str, str]:
    where = {"TWINSTREAM_LAKE_CATALOG_URI": settings.lake_catalog_uri.get_secret_value()}
    return {**os.environ, **where, "TWINSTREAM_LAKE_WAREHOUSE": settings.lake_warehouse}


def run(settings, *command: str) -> str:
    ran = subprocess.run(  # noqa: S603  # our own
        [sys.executable, *command], env=environment(settings), capture_output=True, text=True, check=False, timeout=240
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def query(settings, sql: str) -> list[tuple[object, ...]]:
    """What a job makes of a query: the views that stand for the names in it, over the files of now."""
    catalog = Catalog(settings)
    named = views({stream: pin(catalog, stream) for stream in Stream})
    catalog.close()
    return Engine(128).rows(f"WITH b AS ({named['b']}) {sql}")


def test_a_table_is_the_same_in_every_library(opened) -> None:
    """DuckDB, Arrow, pandas and Polars; the newest version, wherever it stands."""
    b = opened.table("b")
    rows = b.duckdb().count("*").fetchall()[0][0]
    assert rows == b.arrow().num_rows == len(b.pandas()) == b.polars().select(pl.len()).collect().item() == 700
    assert b.arrow(["text"], "unique_identifier = 'b-0'").to_pylist() == [{"text": "changed"}]
    changed = b.polars().filter(pl.col("unique_identifier") == "b-0").select("text", "number").collect()
    assert changed.to_dicts() == [{"text": "changed", "number": 7.0}]
    assert b.polars().head(3).collect().height == 3
    assert opened.table("b_log").arrow().num_rows == 701


def test_a_lake_stays_as_it_was_opened(opened, planted) -> None:
    """Also when it is opened again by its snapshots."""
    append(planted.catalog, Stream.B, [{"id": "later", "number": 1.0, "text": "", "event_time": BEGIN_MS}])
    again = open_lake(settings=planted.settings, snapshots=opened.snapshots, niceness=0)
    now = open_lake(settings=planted.settings, niceness=0)
    counts = [lake.sql("select count(*) from b_log").fetchall()[0][0] for lake in (opened, again, now)]
    assert counts == [701, 701, 702]


def test_nothing_can_be_written_by_it(opened, planted) -> None:
    """Neither by COPY nor by an attached database."""
    before = {path: path.stat().st_mtime_ns for path in Path(planted.settings.lake_warehouse).rglob("*")}
    for statement in (f"COPY b TO '{next(iter(before))}/x'", "ATTACH '/tmp/x.db'"):
        with pytest.raises(Exception, match="Permission"):
            opened.connection.execute(statement)
    assert {path: path.stat().st_mtime_ns for path in Path(planted.settings.lake_warehouse).rglob("*")} == before


def test_there_is_no_other_table(opened) -> None:
    with pytest.raises(KeyError, match="a_latest"):
        opened.table("c")


def test_a_new_project_runs_as_a_script_and_as_a_notebook(planted, tmp_path) -> None:
    """Both have the same cells, and answer."""
    home = tmp_path / "home"
    settings = planted.settings.model_copy(update={})
    (home / "data").mkdir(parents=True)
    ran = subprocess.run(  # noqa: S603  # our own
        [sys.executable, "-m", "twinstream", "project", "new", str(tmp_path / "mine")],
        env={**os.environ, "TWINSTREAM_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "explore.py" in ran.stderr
    script = tmp_path / "mine" / "explore.py"
    text = script.read_text()
    assert str(home / "data" / "lake") in text
    for name in ("catalog.db", "warehouse"):
        text = text.replace(str(home / "data" / "lake" / name), str(tmp_path / name))
    script.write_text(text)
    said = run(settings, str(script))
    assert "a_latest" in said
    cells = json.loads((tmp_path / "mine" / "explore.ipynb").read_bytes())["cells"]
    again = json.loads(notebook(text))["cells"]
    assert [cell["cell_type"] for cell in cells] == [cell["cell_type"] for cell in again]
    code = "\n".join("".join(cell["source"]) for cell in again if cell["cell_type"] == "code")
    assert run(settings, "-c", code) == said
    shown = "[lake.sql(top).fetchall(), parents.sort(by=['n', parents.collect_schema().names()[0]], "
    shown += "descending=[True, False]).head(10).collect().rows()]"
    both = json.loads(run(settings, "-c", f"{code}\nimport json\nprint(json.dumps({shown}))").splitlines()[-1])
    asked = "SELECT Stream_A_unique_identifier, count(*) AS n FROM b GROUP BY 1 ORDER BY n DESC, 1 LIMIT 10"
    sql = [list(row) for row in query(settings, asked)]
    assert both == [sql, sql]
    assert len(sql) == 5


def test_the_example_finds_what_comes_before_a_rise(planted, tmp_path) -> None:
    """The word that was planted, first of all."""
    script = str(ROOT / "examples/projects/signals_before_rise.py")
    said = run(planted.settings, script, "--step-minutes", "1", "--output", str(tmp_path))
    words = [row["word"] for row in csv.DictReader((tmp_path / "signals_before_rise.csv").open())]
    assert set(words[:2]) == {"outage", "reported"}
    assert "outage" in said
    assert (tmp_path / "signals_before_rise.png").stat().st_size > 1_000


def test_the_example_learns_what_texts_say(planted, tmp_path) -> None:
    """That complaints have the large numbers."""
    said = run(planted.settings, str(ROOT / "examples/projects/text_classifier.py"), "--output", str(tmp_path))
    area = float(said.partition("unseen ones: ")[2].split()[0])
    assert area > 0.8
    assert "broken" in said
    assert (tmp_path / "text_classifier.png").stat().st_size > 1_000


@pytest.mark.long
def test_the_examples_run_on_the_demo(demo, tmp_path) -> None:
    """As they are typed, with a table, a plot, and a classifier that is better than a coin."""
    run(demo.settings, str(ROOT / "examples/projects/signals_before_rise.py"), "--output", str(tmp_path))
    assert len(list(csv.DictReader((tmp_path / "signals_before_rise.csv").open()))) == 20
    said = run(demo.settings, str(ROOT / "examples/projects/text_classifier.py"), "--output", str(tmp_path))
    assert float(said.partition("unseen ones: ")[2].split()[0]) > 0.6
    assert {path.stem for path in tmp_path.glob("*.png")} == {"signals_before_rise", "text_classifier"}
