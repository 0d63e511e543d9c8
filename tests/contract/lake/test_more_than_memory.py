"""The latest of more ids, and of longer texts, than memory holds at once."""

import duckdb
import pytest

from common.contracts import Stream
from lake.maintenance.latest import LatestTables
from lake.writer.log_table import LogTable
from twinstream_lake.engine import Engine
from twinstream_lake.layout import arrow_schema, latest_name, log_schema
from twinstream_lake.pins import pin
from twinstream_lake.views import views

IDS = 250_000
SMALL = Engine(64)
NO_LIMIT = 10**9

ROWS = """
    SELECT 'b-' || (i * 7919 % $ids) AS unique_identifier, 'a' AS Stream_A_unique_identifier, i::DOUBLE AS number,
        repeat(md5(i::VARCHAR), $length // 32) AS text, now() AS event_time, now() AS ingested_at,
        i AS content_hash, false AS erased, 0::INTEGER AS kafka_partition, i AS kafka_offset, now() AS kafka_timestamp
    FROM (SELECT range AS i FROM range($first::BIGINT, $last::BIGINT))
"""


@pytest.fixture
def log(lake) -> LogTable:
    log = LogTable(lake.catalog, Stream.B)
    log.prepare()
    LatestTables(lake.catalog, SMALL, NO_LIMIT).prepare()
    return log


def fill(log: LogTable, first: int, last: int, length: int = 32) -> None:
    """Messages, with a version of each of so many ids, one after the other."""
    with duckdb.connect(config={"threads": "1"}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        values = {"ids": IDS, "length": length, "first": first, "last": last}
        rows = connection.sql(ROWS, params=values).to_arrow_table()
    log.append(rows.cast(arrow_schema(log_schema(Stream.B))).to_batches(), log.positions(), {0: last})


def test_a_shard_is_what_memory_has_room_for(lake, log) -> None:
    """However many rows a shard may have; also where the former latest is small, for nobody rebuilt it for long."""
    latest = LatestTables(lake.catalog, SMALL, NO_LIMIT)
    fill(log, 0, 10)
    latest.rebuild(Stream.B)
    fill(log, 10, IDS)
    assert len(latest._shards(pin(lake.catalog, Stream.B))) == 4  # all in one does not fit
    assert latest.rebuild(Stream.B) == (latest_name(Stream.B), IDS)
    said = views({Stream.B: pin(lake.catalog, Stream.B)})[latest_name(Stream.B)]
    found = "count(DISTINCT number), sum(number), bool_and(coalesce(before < id, true))"
    ids = f"SELECT number, unique_identifier AS id, lag(unique_identifier) OVER () AS before FROM ({said})"
    assert Engine(256).rows(f"SELECT {found} FROM ({ids})") == [(IDS, IDS * (IDS - 1) / 2, True)]


def test_texts_may_be_long(lake, log) -> None:
    """139 MB of them in one row group: they are read page by page."""
    fill(log, 0, 17_000, 8_192)
    latest = LatestTables(lake.catalog, Engine(256), NO_LIMIT)
    assert latest.rebuild(Stream.B) == (latest_name(Stream.B), 17_000)


def test_what_is_read_at_once_is_little(lake, log) -> None:
    """Whoever reads row by row holds few of them, however long they are."""
    fill(log, 0, 10_000)
    files = views({Stream.B: pin(lake.catalog, Stream.B)})["b_log"]
    with SMALL.stream(files) as batches:
        sizes = [batch.num_rows for batch in batches]
    assert sum(sizes) == 10_000
    assert max(sizes) <= 2_048


def test_tables_of_a_former_version_are_written_as_todays(lake, log) -> None:
    """They get the properties that they lack; one that somebody changed stays."""
    table = lake.catalog.load("b_log")
    with table.transaction() as transaction:
        transaction.remove_properties("write.parquet.page-row-limit")
        transaction.set_properties({"write.parquet.row-group-limit": "7"})
    log.prepare()
    properties = lake.catalog.load("b_log").properties
    assert properties["write.parquet.page-row-limit"] == "500"
    assert properties["write.parquet.row-group-limit"] == "7"
