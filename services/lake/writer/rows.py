"""What messages of the log come to as rows of a table. Pure."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa

from common.contracts import RecordA, RecordB, Stream, version_of
from common.errors import Refused
from common.kafka.batches import Entry
from common.kafka.records import read_record
from common.kafka.rejections import Refusal
from twinstream_lake.layout import arrow_schema, log_schema

ARROW: Final = {stream: arrow_schema(log_schema(stream)) for stream in Stream}

Row = tuple[RecordA | None, Entry, str]
"""The record, its message and its id; no record for a tombstone."""


class Rows(NamedTuple):
    """What a stretch of a partition comes to."""

    batch: pa.RecordBatch
    erased: int
    refusals: Sequence[Refusal]


def read(stream: Stream, partition: int, entries: Sequence[Entry]) -> Rows:
    """A row for each record and each tombstone among `entries`, in their order."""
    rows: list[Row] = []
    refusals: list[Refusal] = []
    for entry in entries:
        try:
            said = read_record(stream, entry)
        except Refused as refused:
            refusals.append(Refusal(entry, refused.code, refused.detail))
            continue
        rows.append((None, entry, said) if isinstance(said, str) else (said, entry, said.id))
    erased = sum(1 for record, _, _ in rows if record is None)
    columns = _records(rows) if erased else _columns([record for record, _, _ in rows if record is not None])
    places: dict[str, list[Any]] = {
        "erased": [record is None for record, _, _ in rows],
        "kafka_partition": [partition] * len(rows),
        "kafka_offset": [entry.offset for _, entry, _ in rows],
        "kafka_timestamp": [entry.timestamp * 1_000 for _, entry, _ in rows],
    }
    schema = ARROW[stream]
    arrays = [_array((columns | places)[field.name], field.type) for field in schema]
    return Rows(pa.RecordBatch.from_arrays(arrays, schema=schema), erased, refusals)


def _columns(records: Sequence[RecordA]) -> dict[str, list[Any]]:
    """The columns of a record; times in microseconds."""
    return {
        "unique_identifier": [record.id for record in records],
        "Stream_A_unique_identifier": [record.a_id for record in records if isinstance(record, RecordB)],
        "number": [record.number for record in records],
        "text": [record.text for record in records],
        "event_time": [record.event_time * 1_000 for record in records],
        "ingested_at": [record.ingested_at for record in records],
        "content_hash": [version_of(record).content_hash for record in records],
    }


def _records(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """The same with tombstones among them: of these there is an id and nothing else."""
    known = _columns([record for record, _, _ in rows if record is not None])
    spread = {}
    for name, column in known.items():
        values = iter(column)
        spread[name] = [None if record is None else next(values, None) for record, _, _ in rows]
    spread["unique_identifier"] = [record_id for _, _, record_id in rows]
    return spread


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).cast(kind)
    return pa.array(values, kind)
