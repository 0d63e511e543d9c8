"""The lake for a project: tables at one pinned state, as a DuckDB relation, a Polars LazyFrame, Arrow or pandas.

    from twinstream_lake import open_lake

    lake = open_lake()                      # as of now; lake.snapshots pins the same state again
    b = lake.table("b")                     # the newest version of each B; "b_log" has every version
    b.polars().group_by("Stream_A_unique_identifier").len().collect()
    lake.sql("select count(*) from b")      # a DuckDB relation

It reads files and nothing else: whatever is asked of it, ingestion, alerts, counts and lookups do not notice.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

import duckdb
import pyarrow as pa
from duckdb import DuckDBPyConnection, DuckDBPyRelation

from common.contracts import Stream
from common.priority import give_way
from common.settings import LakeSettings, load
from twinstream_lake.catalog import Catalog
from twinstream_lake.pins import StreamPin, pin
from twinstream_lake.views import quoted, views

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

NICENESS: Final = 10
_BATCH_ROWS: Final = 50_000


def open_lake(
    *,
    snapshots: Mapping[str, int | None] | None = None,
    settings: LakeSettings | None = None,
    memory_mb: int = 2_048,
    threads: int = 1,
    niceness: int = NICENESS,
) -> "Lake":
    """The lake as it is now, or as it was at `snapshots`.

    Args:
        snapshots: `Lake.snapshots` of another time: the very same rows are read.
        settings: where it is; else TWINSTREAM_LAKE_CATALOG_URI and TWINSTREAM_LAKE_WAREHOUSE tell.
        memory_mb: what DuckDB may take before it spills to disk.
        threads: how many processors it works on.
        niceness: how far this process gives way to others from now on; 0 for not at all.

    Raises:
        CannotStart: lake_not_local; its files are not on this machine.
        TryLater: the lake is away, or has no tables yet.
        Refused: invalid_parameter; a snapshot has expired.
    """
    give_way(niceness)
    catalog = Catalog.of_local_files(settings or load(LakeSettings))
    try:
        pins = {stream: pin(catalog, stream, snapshots) for stream in Stream}
    finally:
        catalog.close()
    return Lake(pins, memory_mb=memory_mb, threads=threads)


class Lake:
    """All tables at one state; a context manager, or closed with the process."""

    def __init__(self, pins: Mapping[Stream, StreamPin], *, memory_mb: int, threads: int) -> None:
        self._views = views(pins)
        self.snapshots: Mapping[str, int | None] = {
            one.table: one.snapshot for pinned in pins.values() for one in (pinned.log, pinned.latest)
        }
        """By table, what is read: given to `open_lake`, it reads the same again."""
        files = [path for pinned in pins.values() for path in (*pinned.log.files, *pinned.latest.files)]
        self.connection = _connected(files, self._views, memory_mb, threads)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    @property
    def tables(self) -> Sequence[str]:
        """What there is to read."""
        return sorted(self._views)

    def table(self, name: str) -> "LakeTable":
        """One of `tables`.

        Raises:
            KeyError: there is none of this name; says which there are.
        """
        if name not in self._views:
            raise KeyError(f"There is no table {name!r}: there are {', '.join(self.tables)}.")
        return LakeTable(self, name)

    def sql(self, query: str, parameters: Sequence[object] | Mapping[str, object] = ()) -> DuckDBPyRelation:
        """What a query says, as a relation that is worked out when it is read."""
        return self.connection.sql(query, params=parameters or None)


class LakeTable:
    """One table of a lake."""

    def __init__(self, lake: Lake, name: str) -> None:
        self._lake = lake
        self.name = name

    def duckdb(self) -> DuckDBPyRelation:
        """As a relation, to go on with in DuckDB."""
        return self._lake.sql(f"FROM {quoted(self.name)}")

    def arrow(self, columns: Sequence[str] = (), where: str = "true") -> pa.Table:
        """The rows in memory: all of them, or those of a condition in SQL."""
        return self._select(columns, where).to_arrow_table()

    def pandas(self, columns: Sequence[str] = (), where: str = "true") -> "pd.DataFrame":
        """The same as a data frame of pandas."""
        return self.arrow(columns, where).to_pandas()

    def polars(self) -> "pl.LazyFrame":
        """As a lazy frame: only the columns and the head that a query needs are read, batch by batch."""
        import polars as pl  # noqa: PLC0415  # whoever does not ask for it need not have it
        from polars.io.plugins import register_io_source  # noqa: PLC0415

        schema = pl.DataFrame(self._select((), "false").to_arrow_table()).schema

        def read(
            columns: list[str] | None, condition: Any, rows: int | None, batch_rows: int | None
        ) -> Iterator[pl.DataFrame]:
            left = rows
            with self._lake.connection.cursor() as cursor:
                cursor.execute("SET TimeZone = 'UTC'")  # each has its own
                chosen = ", ".join(quoted(name) for name in columns or schema)
                relation = cursor.sql(f"SELECT {chosen} FROM {quoted(self.name)}")
                for batch in relation.to_arrow_reader(batch_rows or _BATCH_ROWS):
                    frame = pl.DataFrame(batch)
                    frame = frame if condition is None else frame.filter(condition)
                    frame = frame if left is None else frame.head(left)
                    left = None if left is None else left - frame.height
                    yield frame
                    if left == 0:
                        return

        return register_io_source(read, schema=schema)

    def _select(self, columns: Sequence[str], where: str) -> DuckDBPyRelation:
        chosen = ", ".join(quoted(name) for name in columns) or "*"
        return self._lake.sql(f"SELECT {chosen} FROM {quoted(self.name)} WHERE {where}")


def _connected(files: Sequence[str], queries: Mapping[str, str], memory_mb: int, threads: int) -> DuckDBPyConnection:
    """DuckDB over the pinned files, which it can read and nobody can write by it."""
    connection = duckdb.connect(config={"threads": str(threads), "memory_limit": f"{memory_mb}MB"})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET allowed_paths = ?", [[path.removeprefix("file://") for path in files]])
    connection.execute("SET enable_external_access = false")
    for name, query in queries.items():
        connection.execute(f"CREATE VIEW {quoted(name)} AS {query}")
    return connection
