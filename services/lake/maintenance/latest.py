"""The rebuild of a latest table: the greatest version of each id, out of the former latest and the log behind it.

An upsert per batch would rewrite the table for each; a rebuild reads it once, however much has come.
"""

from collections.abc import Iterator
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
    "format-version": "2",
    "commit.retry.num-retries": "0",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "write.parquet.compression-codec": "zstd",
    "write.parquet.row-group-limit": "100000",
    "write.metadata.metrics.column.text": "none",
}

_SAMPLE: Final = 10_000


class Rebuilt(NamedTuple):
    """What a rebuild came to."""

    table: str
    rows: int


class LatestTables:
    """The latest tables, rebuilt by one process; every call blocks."""

    def __init__(self, catalog: Catalog, engine: Engine, shard_rows: int) -> None:
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
        """Conditions on ids, in their order, each for about as many ids as a shard may have."""
        shards = 1 + (pinned.latest.rows or pinned.log.rows) // self._shard_rows
        if shards == 1:
            return ["true"]
        latest, tail = files(pinned.latest.schema, pinned.latest.files), files(pinned.log.schema, pinned.tail)
        ids = f"SELECT unique_identifier FROM ({latest}) UNION ALL SELECT unique_identifier FROM ({tail})"
        sample = sorted(str(row[0]) for row in self._engine.rows(f"FROM ({ids}) USING SAMPLE {_SAMPLE} ROWS"))
        bounds = sorted({sample[len(sample) * n // shards] for n in range(1, shards)})
        below = [f"unique_identifier < {literal(bound)}" for bound in bounds]
        above = [f"unique_identifier >= {literal(bound)}" for bound in bounds]
        return [" AND ".join(both) for both in zip(["true", *above], [*below, "true"], strict=True)]
