"""A column is added while writers, maintenance and readers of the version before it go on."""

from typing import Any

import msgspec
import pyarrow as pa
import pytest
from pyiceberg.schema import Schema
from pyiceberg.types import NestedField, StringType

from common.contracts import RecordB, Stream
from common.kafka.batches import Logged
from lake.maintenance.latest import LatestTables
from lake.writer.log_table import LogTable
from lake.writer.rows import read
from twinstream_lake.engine import Engine
from twinstream_lake.layout import latest_name, latest_schema, log_name, log_schema
from twinstream_lake.pins import pin
from twinstream_lake.views import views

ENGINE = Engine(256)
STREAM = Stream.B


@pytest.fixture
def table(lake) -> LogTable:
    table = LogTable(lake.catalog, STREAM)
    table.prepare()
    return table


def later(schema: Schema) -> Schema:
    """What a version to come might make of it."""
    return Schema(*schema.fields, NestedField(99, "channel", StringType(), required=False))


def batch(offset: int) -> pa.RecordBatch:
    """A row as today's writer makes it."""
    record = RecordB(id=f"b-{offset}", a_id="p", number=1.0, text="", event_time=5, ingested_at=7)
    return read(STREAM, 0, [Logged(offset, record.id.encode(), msgspec.json.encode(record), 86_400_000_000)]).batch


def channels(lake: Any) -> dict[str, Any]:
    query = f"SELECT unique_identifier, channel FROM ({views({STREAM: pin(lake.catalog, STREAM)})['b']})"
    return dict(ENGINE.rows(query))


def test_a_column_is_added_under_a_writer_that_does_not_know_it(lake, table) -> None:
    """Its rows, of before and after, have none of it; those of a writer that knows it do; all are read as one table."""
    table.append([batch(0)], table.positions(), {0: 1})
    lake.catalog.ensure(log_name(STREAM), later(log_schema(STREAM)))
    table.append([batch(1)], table.positions(), {0: 2})
    knowing = pa.Table.from_batches([batch(2)]).append_column("channel", pa.array(["web"]))
    lake.catalog.load(log_name(STREAM)).append(knowing)
    latest = LatestTables(lake.catalog, ENGINE, 20)
    latest.prepare()
    lake.catalog.ensure(latest_name(STREAM), later(latest_schema(STREAM)))
    assert channels(lake) == {"b-0": None, "b-1": None, "b-2": "web"}
    latest.rebuild(STREAM)
    assert channels(lake) == {"b-0": None, "b-1": None, "b-2": "web"}


def test_newest_versions_are_read_before_the_log_has_the_column(lake, table) -> None:
    """Maintenance may be the first to be new."""
    table.append([batch(0)], table.positions(), {0: 1})
    lake.catalog.ensure(latest_name(STREAM), later(latest_schema(STREAM)))
    assert channels(lake) == {"b-0": None}


def test_a_start_changes_no_table_that_has_all_columns(lake, table) -> None:
    """Neither one of its own version nor one of a later one."""
    lake.catalog.ensure(log_name(STREAM), later(log_schema(STREAM)))
    before = lake.catalog.load(log_name(STREAM)).metadata_location
    table.prepare()
    assert lake.catalog.load(log_name(STREAM)).metadata_location == before
