"""The rebuild of a latest table: the greatest version of each id, out of the former latest and the log behind it.

An upsert per batch would rewrite the table for each; a rebuild reads it once, however much has come.
"""

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import Final, NamedTuple

import pyarrow as pa
import structlog

from common.contracts import Stream
from lake.maintenance.files import replace, write
from twinstream_lake.catalog import Catalog, translated
from twinstream_lake.engine import Engine
from twinstream_lake.layout import POSITIONS, encode_positions, latest_name, latest_schema
from twinstream_lake.pins import StreamPin, pin
from twinstream_lake.views import files, fresh, literal

log = structlog.get_logger()

PROPERTIES: Final = {
    "commit.retry.num-retries": "0",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "write.parquet.compression-codec": "zstd",
    "write.parquet.row-group-limit": "100000",
    "write.parquet.page-row-limit": "500",
    "write.metadata.metrics.column.text": "none",
}

_SAMPLE: Final = 10_000

# What a shard takes of memory and cannot spill, for the state of a greatest version is no row: measured were 200 to 300
# bytes for a row with an id of 10 characters, of the log or the former latest, and half as much again with one of 200.
_BYTES_AT_LEAST: Final = 32_000_000
_BYTES_PER_ROW: Final = 400
_PER_BYTE_OF_AN_ID: Final = 3


class Rebuilt(NamedTuple):
    """What a rebuild came to."""

    table: str
    rows: int


class LatestTables:
    """The latest tables, rebuilt by one process; every call blocks."""

    def __init__(self, catalog: Catalog, engine: Engine, shard_rows: int) -> None:
        """`shard_rows`: most rows of a shard, also where the engine's memory would take more."""
        self._catalog = catalog
        self._engine = engine
        self._shard_rows = shard_rows

    def prepare(self) -> None:
        """Make the tables that are missing, and the columns that those of a former version lack.

        Raises:
            TryLater: the catalog is away.
        """
        for stream in Stream:
            self._catalog.ensure(latest_name(stream), latest_schema(stream), properties=PROPERTIES)

    def rebuild(self, stream: Stream) -> Rebuilt | None:
        """Bring the latest to where the log is; None when it is there.

        Raises:
            Reposition: someone else rebuilt it meanwhile.
            TryLater: the catalog is away, or memory or disk were not enough; the former latest stays in force.
        """
        pinned = pin(self._catalog, stream)
        if pinned.log.positions == pinned.latest.positions:
            return None
        table = self._catalog.load(latest_name(stream))
        with translated(f"a look at {latest_name(stream)}"):
            former = [task.file for task in table.scan(snapshot_id=pinned.latest.snapshot).plan_files()]
        added = write(table, self._rows(pinned), None)
        replace(table, former, added, {POSITIONS: encode_positions(pinned.log.positions)})
        return Rebuilt(latest_name(stream), sum(file.record_count for file in added))

    def _rows(self, pinned: StreamPin) -> Iterator[pa.RecordBatch]:
        """All rows, sorted by id, shard by shard: memory holds one shard's join, not the table's."""
        for only in self._shards(pinned):
            query = f"{fresh(pinned, only)} ORDER BY unique_identifier"
            with self._engine.stream(query) as batches:
                yield from batches

    def _shards(self, pinned: StreamPin) -> list[str]:
        """Conditions on ids, in their order, each for about as many rows as a shard may have."""
        latest, tail = files(pinned.latest.schema, pinned.latest.files), files(pinned.log.schema, pinned.tail)
        ids = f"SELECT unique_identifier FROM ({latest}) UNION ALL SELECT unique_identifier FROM ({tail})"
        sample = sorted(str(row[0]) for row in self._engine.rows(f"FROM ({ids}) USING SAMPLE {_SAMPLE} ROWS"))
        shards = 1 + (pinned.latest.rows + pinned.tail_rows) // self._fitting(sample)
        bounds = sorted({sample[len(sample) * n // shards] for n in range(1, shards)})
        below = [f"unique_identifier < {literal(bound)}" for bound in bounds]
        above = [f"unique_identifier >= {literal(bound)}" for bound in bounds]
        return [" AND ".join(both) for both in zip(["true", *above], [*below, "true"], strict=True)]

    def _fitting(self, sample: Sequence[str]) -> int:
        """How many rows, with ids such as these, are a shard that the engine's memory has room for."""
        length = fmean([len(one.encode()) for one in sample] or [0])
        room = (self._engine.memory_bytes - _BYTES_AT_LEAST) / (_BYTES_PER_ROW + _PER_BYTE_OF_AN_ID * length)
        return min(self._shard_rows, int(room))
