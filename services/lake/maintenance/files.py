"""Files of a table: written from a stream of rows, and put in the place of others in one commit."""

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import pyarrow as pa
from pyiceberg.io.fileformat import FileFormatFactory
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table.locations import load_location_provider
from pyiceberg.typedef import Record

from twinstream_lake.catalog import translated

if TYPE_CHECKING:
    from pyiceberg.table import Table

ROWS_PER_GROUP: Final = 100_000
_BYTES_PER_GROUP: Final = 64 * 1024 * 1024
_ROWS_PER_FILE: Final = 2_000_000


def write(table: "Table", batches: Iterable[pa.RecordBatch], partition: int | None) -> list[DataFile]:
    """Files of `table` with these rows, in their order, that belong to no snapshot yet; none for no rows.

    Args:
        table: whose schema, properties and folder they take.
        batches: as many as there are; no more than a row group of them is held.
        partition: the value of the table's only partition field, if it has one.
    """
    groups = _groups(batches, schema_to_pyarrow(table.schema(), include_field_ids=True))
    locations = load_location_provider(table.location(), table.properties)
    written: list[DataFile] = []
    with translated(f"the writing of {table.name()[-1]}"):
        group = next(groups, None)
        while group is not None:
            path = locations.new_data_location(f"{uuid.uuid4()}.parquet")
            output = table.io.new_output(path)
            model = FileFormatFactory.get(FileFormat.PARQUET)
            rows = 0
            with model.create_writer(output, table.schema(), table.properties) as writer:
                while group is not None and rows < _ROWS_PER_FILE:
                    writer.write(group)
                    rows += group.num_rows
                    group = next(groups, None)
            written.append(
                DataFile.from_args(
                    content=DataFileContent.DATA,
                    file_path=path,
                    file_format=FileFormat.PARQUET,
                    partition=Record() if partition is None else Record(partition),
                    file_size_in_bytes=len(output),
                    sort_order_id=None,
                    spec_id=table.metadata.default_spec_id,
                    equality_ids=None,
                    key_metadata=None,
                    **writer.result().to_serialized_dict(),
                )
            )
    return written


def replace(table: "Table", removed: Sequence[DataFile], added: Sequence[DataFile], summary: Mapping[str, str]) -> None:
    """Put `added` in the place of `removed`, in one snapshot.

    Raises:
        Reposition: the table has changed since it was loaded.
        TryLater: it may or may not have been done.
    """
    with translated(f"an exchange of files of {table.name()[-1]}"), table.transaction() as transaction:
        update = transaction.update_snapshot(snapshot_properties=dict(summary))
        with update.overwrite() as overwrite:
            for file in removed:
                overwrite.delete_data_file(file)
            for file in added:
                overwrite.append_data_file(file)


def _groups(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """The same rows, as many at a time as a row group holds; fewer of long ones."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        held.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= ROWS_PER_GROUP or size >= _BYTES_PER_GROUP:
            yield _fitted(held, schema)
            held, rows, size = [], 0, 0
    if rows:
        yield _fitted(held, schema)


def _fitted(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_batches(batches).select(schema.names).cast(schema)
