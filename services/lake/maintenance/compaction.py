"""Compaction of a log table: many small files of a day become few, and what tombstones made void is left out.

An exchange of files that another commit was faster than is tried again on top of it: the rows stay written.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import pyarrow as pa
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema

from common.clock import Clock
from common.contracts import DAY_MS, Stream
from common.errors import Reposition, TryLater
from lake.maintenance.files import replace, write
from twinstream_lake.catalog import Catalog, translated
from twinstream_lake.engine import Engine
from twinstream_lake.layout import POSITIONS, log_name
from twinstream_lake.pins import behind, pin
from twinstream_lake.views import VOIDS, files, void

if TYPE_CHECKING:
    from pyiceberg.table import Table

_ATTEMPTS: Final = 20
_SMALL_BYTES: Final = 32 * 1024 * 1024
_SETTLED_AFTER_MS: Final = 60 * 60 * 1000
"""A tombstone is kept as long as a record that it makes void may still be on its way through another partition."""


class Compacted(NamedTuple):
    """What a compaction came to."""

    table: str
    files_before: int
    files_after: int
    rows_dropped: int


class LogCompaction:
    """The compaction of one stream's log; every call blocks."""

    def __init__(self, catalog: Catalog, engine: Engine, stream: Stream, clock: Clock, small_files: int) -> None:
        """`small_files`: how many of them a day that is not over may have."""
        self._catalog = catalog
        self._engine = engine
        self._stream = stream
        self._clock = clock
        self._small_files = small_files
        self._name = log_name(stream)

    def run(self) -> Compacted | None:
        """Compact what is worth it; None when nothing is.

        Raises:
            TryLater: the catalog is away, the table kept changing, or memory or disk were not enough.
        """
        table = self._catalog.load(self._name)
        if table.current_snapshot() is None:
            return None
        with translated(f"a look at {self._name}"):
            present = [task.file for task in table.scan().plan_files()]
        wanted = self._worth_it(present, self._tainted(table.schema(), [file.file_path for file in present]))
        if not wanted:
            return None
        return self._exchange(table, present, wanted)

    def _worth_it(self, present: Sequence[DataFile], tainted: set[str]) -> Mapping[int, Sequence[DataFile]]:
        """By day, the files to write anew."""
        today = self._clock.now_ms() // DAY_MS
        by_day: dict[int, list[DataFile]] = defaultdict(list)
        for file in present:
            by_day[_day(file)].append(file)
        wanted: dict[int, Sequence[DataFile]] = {}
        for day, ones in by_day.items():
            small = [file for file in ones if file.file_size_in_bytes < _SMALL_BYTES]
            enough = len(small) > (1 if day < today else self._small_files)
            chosen = [file for file in ones if _path(file) in tainted or (enough and file in small)]
            if chosen:
                wanted[day] = chosen
        return wanted

    def _tainted(self, schema: Schema, paths: Sequence[str]) -> set[str]:
        """The files with rows that are void, or with tombstones that have done their work."""
        rows = files(schema, paths, names=True)
        query = f"WITH tail AS ({rows}), {VOIDS} SELECT DISTINCT filename FROM tail WHERE {self._unwanted()}"
        return {str(name) for (name,) in self._engine.rows(query)} if self._any_tombstone(schema, paths) else set()

    def _any_tombstone(self, schema: Schema, paths: Sequence[str]) -> bool:
        rows = files(schema, paths)
        return bool(self._engine.rows(f"SELECT 1 FROM ({rows}) WHERE erased LIMIT 1"))

    def _unwanted(self) -> str:
        """Rows that nobody is to see again: void ones, and tombstones that the latest knows of and that are old."""
        taken = pin(self._catalog, self._stream).latest.positions
        before_ms = self._clock.now_ms() - _SETTLED_AFTER_MS
        known = f"NOT ({behind(taken)}) AND epoch_ms(kafka_timestamp) < {before_ms}" if taken else "false"
        return f"(erased AND {known}) OR (NOT erased AND {void('tail')})"

    def _exchange(
        self, table: "Table", present: Sequence[DataFile], wanted: Mapping[int, Sequence[DataFile]]
    ) -> Compacted:
        every = [file.file_path for file in present]
        removed = [file for ones in wanted.values() for file in ones]
        added: list[DataFile] = []
        for day, ones in sorted(wanted.items()):
            added += write(table, self._rows(table.schema(), every, [file.file_path for file in ones]), day)
        for _ in range(_ATTEMPTS):
            try:
                summary = {POSITIONS: table.properties.get(POSITIONS, "{}")}
                replace(table, removed, added, summary)
            except Reposition:  # the writer was faster: what it added is in no file of ours
                table = self._catalog.load(self._name)
            else:
                rows = sum(file.record_count for file in removed) - sum(file.record_count for file in added)
                after = len(present) - len(removed) + len(added)
                return Compacted(self._name, len(present), after, rows)
        raise TryLater(f"{self._name} changed {_ATTEMPTS} times while its files were exchanged")

    def _rows(self, schema: Schema, every: Sequence[str], chosen: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """What is to stay of `chosen`, in the order of the log; tombstones count wherever they are."""
        query = f"""
            WITH everything AS ({files(schema, every)}), {VOIDS.replace("FROM tail", "FROM everything")},
            tail AS ({files(schema, chosen)})
            SELECT * FROM tail WHERE NOT coalesce({self._unwanted()}, false) ORDER BY kafka_partition, kafka_offset
        """
        with self._engine.stream(query) as batches:
            yield from batches


def _path(file: DataFile) -> str:
    """As DuckDB calls it."""
    return str(file.file_path).removeprefix("file://")


def _day(file: DataFile) -> int:
    """Days since the epoch."""
    return int(file.partition[0])
