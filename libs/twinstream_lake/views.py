"""SQL that reads pinned tables in DuckDB: what each view is made of. Pure.

    a_log, b_log        every version ever received, tombstones among them (`erased`)
    a_latest, b_latest  the greatest version of each id, as of the last rebuild
    a, b                the greatest version of each id, as of now: the latest and what the log has behind it

A tombstone makes void what stands before it in its partition. Ids change partitions only when their topic is given
more of them; between partitions the messages' timestamps say what came before.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from pyiceberg.schema import Schema
from pyiceberg.types import (
    BooleanType,
    DoubleType,
    IntegerType,
    LongType,
    PrimitiveType,
    StringType,
    TimestamptzType,
)

from common.contracts import Stream
from twinstream_lake.layout import latest_name, log_name
from twinstream_lake.pins import StreamPin, behind

_TYPES: Final[Mapping[type[PrimitiveType], str]] = {
    BooleanType: "BOOLEAN",
    DoubleType: "DOUBLE",
    IntegerType: "INTEGER",
    LongType: "BIGINT",
    StringType: "VARCHAR",
    TimestamptzType: "TIMESTAMP WITH TIME ZONE",
}
_VERSION: Final = "{{'e': {0}.event_time, 'i': {0}.ingested_at, 'h': {0}.content_hash}}"


def views(pins: Mapping[Stream, StreamPin]) -> dict[str, str]:
    """The name of each view and the query that it stands for."""
    made: dict[str, str] = {}
    for stream, pin in pins.items():
        made[log_name(stream)] = files(pin.log.schema, pin.log.files)
        made[latest_name(stream)] = files(pin.latest.schema, pin.latest.files)
        made[str(stream)] = fresh(pin)
    return made


def files(schema: Schema, paths: Sequence[str], *, names: bool = False) -> str:
    """All rows of `paths`, the columns found by their field ids; with `names` also the file that each is from."""
    if not paths:
        columns = [f"NULL::{_type(field.field_type)} AS {quoted(field.name)}" for field in schema.fields]
        return f"SELECT {', '.join(columns)} WHERE false"
    columns = [
        f"{field.field_id}: {{name: {literal(field.name)}, type: {literal(_type(field.field_type))}, "
        "default_value: NULL}"
        for field in schema.fields
    ]
    listed = ", ".join(literal(path.removeprefix("file://")) for path in paths)
    options = f"schema=MAP {{{', '.join(columns)}}}, hive_partitioning=false, filename={str(names).lower()}"
    return f"SELECT * FROM read_parquet([{listed}], {options})"


def fresh(pin: StreamPin, only: str = "true") -> str:
    """The greatest version of each id; `only` is a condition on ids that limits them."""
    columns = [field.name for field in pin.latest.schema.fields if field.name != "first_seen"]
    version = _VERSION.format
    return f"""
WITH latest AS (SELECT * FROM ({files(pin.latest.schema, pin.latest.files)}) WHERE {only}),
tail AS (
    SELECT * FROM ({files(pin.log.schema, pin.tail)}) WHERE ({behind(pin.latest.positions)}) AND {only}
),
{VOIDS},
newest AS (
    SELECT unique_identifier, min(event_time) AS first_seen, max({{'e': event_time, 'i': ingested_at,
        'h': content_hash, 'p': kafka_partition, 'o': kafka_offset}}) AS top
    FROM tail WHERE NOT erased AND NOT {void("tail")} GROUP BY ALL
),
compared AS MATERIALIZED (
    SELECT touched.unique_identifier, top.p AS p, top.o AS o,
        erased_too OR l.unique_identifier IS NULL
            OR {{'e': top.e, 'i': top.i, 'h': top.h}} > {version("l")} AS wins,
        CASE WHEN erased_too THEN touched.first_seen ELSE least(touched.first_seen, l.first_seen) END AS first_seen
    FROM (
        SELECT coalesce(n.unique_identifier, v.unique_identifier) AS unique_identifier, n.top AS top,
            n.first_seen AS first_seen, v.unique_identifier IS NOT NULL AS erased_too
        FROM newest n FULL JOIN (SELECT DISTINCT unique_identifier FROM voids) v USING (unique_identifier)
    ) touched
    LEFT JOIN latest l ON l.unique_identifier = touched.unique_identifier
)
SELECT {", ".join(f"l.{quoted(name)}" for name in columns)}, coalesce(c.first_seen, l.first_seen) AS first_seen
FROM latest l LEFT JOIN compared c ON c.unique_identifier = l.unique_identifier
WHERE c.unique_identifier IS NULL OR NOT c.wins
UNION ALL
SELECT {", ".join(_of_tail(pin.log.schema, name) for name in columns)}, c.first_seen
FROM tail t JOIN compared c ON t.kafka_partition = c.p AND t.kafka_offset = c.o
WHERE c.wins
"""


def _of_tail(schema: Schema, name: str) -> str:
    """A column of the log; one that its writer, of a former version, has not made yet is empty."""
    return f"t.{quoted(name)}" if name in schema.column_names else f"NULL AS {quoted(name)}"


VOIDS: Final = """voids AS MATERIALIZED (
    SELECT unique_identifier, kafka_partition, max(kafka_offset) AS kafka_offset,
        max(kafka_timestamp) AS kafka_timestamp
    FROM tail WHERE erased GROUP BY ALL
)"""
"""The tombstones in `tail`: per id and partition, the last."""


def void(rows: str) -> str:
    """Whether a tombstone in `voids` makes a row of `rows` void."""
    return f"""EXISTS (
        FROM voids v WHERE v.unique_identifier = {rows}.unique_identifier AND CASE
            WHEN v.kafka_partition = {rows}.kafka_partition THEN v.kafka_offset > {rows}.kafka_offset
            ELSE v.kafka_timestamp >= {rows}.kafka_timestamp END
    )"""


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _type(kind: object) -> str:
    return _TYPES[type(kind)]  # type: ignore[index]  # the layout has no others
