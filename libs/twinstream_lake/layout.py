"""The lake's tables: their names, their columns and what is written beside their rows. The one definition of each.

Columns carry the records' own names. Readers find them by the field ids of the table that they read.
"""

import json
from collections.abc import Container, Iterable, Mapping
from typing import Final

import pyarrow as pa
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import DayTransform
from pyiceberg.types import (
    BooleanType,
    DoubleType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)

from common.contracts import Stream

# Spark and Trino must call the catalog the same: its name stands in every row of it.
CATALOG: Final = "lake"
NAMESPACE: Final = "twinstream"

POSITIONS: Final = "twinstream.positions"
"""Property of a log table: partition → next offset, as JSON. Everything before it is in the table.

A snapshot's summary has the same under this name: for the log, up to where that snapshot goes; for the latest, up to
where the log was when it was built.
"""

GAPS: Final = "twinstream.gaps"
"""Property of a log table: partition → from which offset on and before which one it lacks what Kafka had, as JSON.

Retention was faster than the writer; of several such gaps of a partition, the last.
"""

_RECORD: Final[tuple[tuple[str, IcebergType], ...]] = (
    ("unique_identifier", StringType()),
    ("Stream_A_unique_identifier", StringType()),
    ("number", DoubleType()),
    ("text", StringType()),
    ("event_time", TimestamptzType()),
    ("ingested_at", TimestamptzType()),
    ("content_hash", LongType()),
)
_PLACE: Final[tuple[tuple[str, IcebergType], ...]] = (
    ("erased", BooleanType()),  # a tombstone: all that came before it of this id is void; it has an id and a place only
    ("kafka_partition", IntegerType()),
    ("kafka_offset", LongType()),
    ("kafka_timestamp", TimestamptzType()),
)
_PARENT: Final = "Stream_A_unique_identifier"


def log_name(stream: Stream) -> str:
    """The table of every version ever received."""
    return f"{stream}_log"


def latest_name(stream: Stream) -> str:
    """The table of the greatest version of each id."""
    return f"{stream}_latest"


def log_schema(stream: Stream) -> Schema:
    """Every version ever received, and where in Kafka it came from."""
    return _schema(stream, (*_RECORD, *_PLACE), {"unique_identifier", *(name for name, _ in _PLACE)})


def latest_schema(stream: Stream) -> Schema:
    """The greatest version of each id; `first_seen` is the smallest event time of all its versions."""
    return _schema(stream, (*_RECORD, ("first_seen", TimestamptzType())), set())


def log_partitions(stream: Stream) -> PartitionSpec:
    """By day of the Kafka timestamp: what is written stays in the days it was written in."""
    field = log_schema(stream).find_field("kafka_timestamp").field_id
    return PartitionSpec(PartitionField(field, 1000, DayTransform(), "kafka_day"))


def arrow_schema(schema: Schema) -> pa.Schema:
    """The same in Arrow."""
    return schema_to_pyarrow(schema, include_field_ids=False)


def encode_positions(positions: Mapping[int, int]) -> str:
    return json.dumps({str(partition): positions[partition] for partition in sorted(positions)})


def decode_positions(encoded: str | None) -> dict[int, int]:
    return {int(partition): offset for partition, offset in json.loads(encoded or "{}").items()}


def encode_gaps(gaps: Mapping[int, tuple[int, int]]) -> str:
    return json.dumps({str(partition): gaps[partition] for partition in sorted(gaps)})


def decode_gaps(encoded: str | None) -> dict[int, tuple[int, int]]:
    return {int(partition): (start, end) for partition, (start, end) in json.loads(encoded or "{}").items()}


def _schema(stream: Stream, columns: Iterable[tuple[str, IcebergType]], required: Container[str]) -> Schema:
    """Numbered from one on: a table that is made gives its fields ids in their order, whatever ours were."""
    own = [(name, kind) for name, kind in columns if stream is Stream.B or name != _PARENT]
    fields = enumerate(own, start=1)
    return Schema(*(NestedField(n, name, kind, required=name in required) for n, (name, kind) in fields))
