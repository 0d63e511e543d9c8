"""DuckDB as our own queries of the lake use it: one thread, little memory, and a folder to spill to."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import duckdb
import pyarrow as pa

from common.errors import TryLater

_BATCH_ROWS: Final = 2_048  # DuckDB's own: texts of 64 KB each come to 130 MB even so, beyond its limit


class Engine:
    """Runs queries of our own."""

    def __init__(self, memory_mb: int, spill: Path | None = None) -> None:
        self.memory_bytes = memory_mb * 1_000_000
        self._spill = spill

    @contextmanager
    def stream(self, query: str) -> Iterator[Iterator[pa.RecordBatch]]:
        """The rows of `query`, batch by batch, while the context lasts.

        Raises:
            TryLater: there was not enough memory or disk, or a file was gone.
        """
        with TemporaryDirectory(prefix="spill-", dir=self._spill) as folder:
            config: dict[str, str | bool | int | float | list[str]] = {
                "threads": "1",
                "memory_limit": f"{self.memory_bytes}B",
                "temp_directory": folder,
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            }
            try:
                with duckdb.connect(config=config) as connection:
                    connection.execute("SET TimeZone = 'UTC'")
                    reader: Any = connection.sql(query).to_arrow_reader(_BATCH_ROWS)
                    yield iter(reader)
            except duckdb.Error as error:
                raise TryLater(f"DuckDB did not finish: {type(error).__name__}: {error}") from error

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """All rows of a query that has few.

        Raises:
            TryLater: as above.
        """
        with self.stream(query) as batches:
            return [tuple(row.values()) for batch in batches for row in batch.to_pylist()]
