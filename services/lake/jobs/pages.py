"""Results as they are answered: batches of rows become pages of JSON, Arrow, Parquet or CSV."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from common.analytics import Column, Format

PAGE_BYTES: Final = 8 * 1024 * 1024
"""Bytes of rows in memory from which on a page is full, however few they are."""


class Page(NamedTuple):
    """A page and how many rows are on it."""

    body: bytes
    rows: int


def columns(schema: pa.Schema) -> list[Column]:
    """The columns of a result, by name and type."""
    return [Column(name=field.name, type=str(field.type)) for field in schema]


def cut(batches: Iterator[pa.RecordBatch], page_rows: int) -> Iterator[pa.Table]:
    """The same rows, as many at a time as a page holds."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        rest = batch
        while rest.num_rows:
            room = page_rows - sum(one.num_rows for one in held)
            held.append(rest.slice(0, room))
            rest = rest.slice(room)
            if sum(one.num_rows for one in held) >= page_rows or sum(one.nbytes for one in held) >= PAGE_BYTES:
                yield pa.Table.from_batches(held)
                held = []
    if held:
        yield pa.Table.from_batches(held)


def encode(table: pa.Table, kind: Format, *, first: bool) -> bytes:
    """A page of `kind`: complete in itself, but for CSV, of which the first page alone has a head."""
    match kind:
        case Format.JSON:
            return msgspec.json.encode(list(_rows(table)), enc_hook=str)
        case Format.ARROW:
            sink = io.BytesIO()
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
            return sink.getvalue()
        case Format.PARQUET:
            sink = io.BytesIO()
            pq.write_table(table, sink, compression="zstd")
            return sink.getvalue()
        case Format.CSV:
            return _csv(table, first=first)


def _rows(table: pa.Table) -> Iterator[Sequence[Any]]:
    """Rows as lists, whatever names the columns have: two may have the same."""
    return zip(*(column.to_pylist() for column in table.columns), strict=True)


def _csv(table: pa.Table, *, first: bool) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    if first:
        writer.writerow(table.schema.names)
    writer.writerows([_cell(value) for value in row] for row in _rows(table))
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    """What a spreadsheet is to see: nothing for null, JSON for what has parts."""
    if value is None or isinstance(value, str | int | float):
        return value
    encoded = msgspec.json.encode(value, enc_hook=str).decode()
    return encoded.strip('"')
