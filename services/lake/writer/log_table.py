"""A log table: rows and the positions behind them are committed as one.

A position says what is in the table because nothing else moves it: a commit is refused when the table has moved since
it was last read, whoever moved it. pyiceberg's own retries are off: they would put the rows of a writer that was
overtaken on top of those of the one that overtook it.
"""

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from common import metrics
from common.contracts import Stream
from common.errors import Reposition, TryLater
from twinstream_lake.catalog import Catalog, translated
from twinstream_lake.layout import (
    GAPS,
    POSITIONS,
    decode_gaps,
    decode_positions,
    encode_gaps,
    encode_positions,
    log_name,
    log_partitions,
    log_schema,
)

if TYPE_CHECKING:
    from pyiceberg.table import Table

SERVICE: Final = "lake-writer"

PROPERTIES: Final = {
    "commit.retry.num-retries": "0",
    # Each commit adds a manifest, and planning a query opens each.
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "50",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "50",
    "write.parquet.compression-codec": "zstd",
    "write.parquet.row-group-limit": "100000",
    "write.parquet.page-row-limit": "500",
    # The bounds of texts prune nothing, and would outlive an erasure in the manifests.
    "write.metadata.metrics.column.text": "none",
}

_ATTEMPTS: Final = 10


class LogTable:
    """The log table of one stream, for its one writer; every call blocks."""

    def __init__(self, catalog: Catalog, stream: Stream) -> None:
        self.stream = stream
        self._name = log_name(stream)
        self._catalog = catalog
        self._table: Table

    def prepare(self) -> None:
        """Make the table if there is none, and the columns that one of a former version lacks.

        Raises:
            TryLater: the catalog is away.
        """
        self._table = self._catalog.ensure(
            self._name,
            log_schema(self.stream),
            partition_spec=log_partitions(self.stream),
            properties=PROPERTIES,
        )

    def positions(self) -> Mapping[int, int]:
        """The next offset to read of each partition, as the table has it now.

        Raises:
            TryLater: the catalog is away.
        """
        self._table = self._catalog.load(self._name)
        return decode_positions(self._table.properties.get(POSITIONS))

    def append(
        self,
        batches: Sequence[pa.RecordBatch],
        believed: Mapping[int, int],
        then: Mapping[int, int],
        gaps: Mapping[int, tuple[int, int]] = MappingProxyType({}),
    ) -> None:
        """Add rows and move the positions from `believed` to `then`, both or neither.

        Args:
            batches: the rows.
            believed: where the table stands, by partition.
            then: where it stands with these rows.
            gaps: by partition, between which offsets of these Kafka no longer had what it had.

        Raises:
            Reposition: the positions are others by now: another writer was here.
            TryLater: it may or may not have been done: ask for the positions.
        """
        rows = pa.Table.from_batches(batches)
        started = time.perf_counter()
        try:
            self._append(rows, believed, then, gaps)
        finally:
            metrics.STORE_SECONDS.labels(SERVICE, "commit").observe(time.perf_counter() - started)

    def _append(
        self,
        rows: pa.Table,
        believed: Mapping[int, int],
        then: Mapping[int, int],
        gaps: Mapping[int, tuple[int, int]],
    ) -> None:
        for _ in range(_ATTEMPTS):
            if decode_positions(self._table.properties.get(POSITIONS)) != believed:
                raise Reposition(f"{self._name} is not where this writer left it")
            try:
                return self._commit(rows, encode_positions(then), gaps)
            except Reposition:  # by maintenance, as long as the positions are the same
                self.positions()
        raise TryLater(f"{self._name} changed {_ATTEMPTS} times while rows were added")

    def _commit(self, rows: pa.Table, positions: str, gaps: Mapping[int, tuple[int, int]]) -> None:
        lacking = {GAPS: encode_gaps({**decode_gaps(self._table.properties.get(GAPS)), **gaps})} if gaps else {}
        with translated(f"an addition to {self._name}"), self._table.transaction() as transaction:
            # The append asks for the snapshot that it was made on to be the newest still: so do the positions with it.
            transaction.append(rows, snapshot_properties={POSITIONS: positions})
            transaction.set_properties({POSITIONS: positions, **lacking})
