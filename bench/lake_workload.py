"""Records of B for the lake: 200 characters of made-up words, five versions for every four ids."""

from collections.abc import Iterator

import duckdb
import msgspec
import pyarrow as pa

from common.contracts import RecordB, Stream
from common.kafka.batches import Logged
from twinstream_lake.layout import arrow_schema, log_schema

BEGIN_MS = 1_790_000_000_000
PARTITIONS = 4

_ROWS = """
    SELECT 'b-' || (i * 7919 % (total * 4 // 5)) AS unique_identifier,
        'a-' || (hash(i) % greatest(total // 10, 10)) AS Stream_A_unique_identifier,
        (hash(i, 1) % 100000) / 100 AS number,
        array_to_string(list_transform(range(28), lambda x: 'w' || hash(hash(i, x) % 3000) % 1000000), ' ') AS text,
        make_timestamp((begin_ms + i) * 1000)::TIMESTAMPTZ AS event_time,
        make_timestamp((begin_ms + i) * 1000)::TIMESTAMPTZ AS ingested_at,
        (hash(i, 2) % 281474976710656)::BIGINT AS content_hash, false AS erased,
        (i % 4)::INTEGER AS kafka_partition, i // 4 AS kafka_offset,
        make_timestamp((begin_ms + i) * 1000)::TIMESTAMPTZ AS kafka_timestamp
    FROM (
        SELECT range AS i, $total::BIGINT AS total, $begin::BIGINT AS begin_ms
        FROM range($first::BIGINT, $last::BIGINT)
    )
"""


def rows(first: int, last: int, total: int) -> pa.Table:
    """The rows of these records, as a log table has them."""
    with duckdb.connect(config={"threads": "1"}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        values = {"first": first, "last": last, "total": total, "begin": BEGIN_MS}
        table = connection.sql(_ROWS, params=values).to_arrow_table()
    return table.cast(arrow_schema(log_schema(Stream.B)))


def batches(first: int, last: int, total: int, size: int) -> Iterator[pa.Table]:
    for start in range(first, last, size):
        yield rows(start, min(last, start + size), total)


def entries(first: int, last: int, total: int, begin_ms: int = BEGIN_MS) -> list[Logged]:
    """The same as messages of a partition, the first as of `begin_ms`."""
    made = []
    for offset, row in enumerate(rows(first, last, total).to_pylist(), first):
        record = RecordB(
            id=row["unique_identifier"],
            a_id=row["Stream_A_unique_identifier"],
            number=row["number"],
            text=row["text"],
            event_time=begin_ms + offset,
            ingested_at=(begin_ms + offset) * 1000,
        )
        made.append(Logged(offset, record.id.encode(), msgspec.json.encode(record), begin_ms))
    return made
