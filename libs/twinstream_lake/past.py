"""The lake's log as the messages that it was made of: what Kafka's retention took stands here still, in its order.

Of an erased id the lake has dropped, in time, what its tombstone made void, and then the tombstone.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import msgspec
import pyarrow as pa
import structlog

from common.contracts import RECORD, Stream
from common.errors import TryLater
from common.kafka.batches import Logged
from common.settings import LakeSettings
from twinstream_lake.catalog import Catalog, translated
from twinstream_lake.engine import Engine
from twinstream_lake.layout import GAPS, POSITIONS, decode_gaps, decode_positions, log_name
from twinstream_lake.stretches import Piece, Stretch, next_stretch, pieces
from twinstream_lake.views import files, quoted

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table

log = structlog.get_logger()

_MEMORY_MB: Final = 256
_SPAN: Final = 50_000
"""Offsets that are sorted at a time; DuckDB spills what its memory does not hold."""

_TIMES: Final = {"event_time": "epoch_ms", "ingested_at": "epoch_us", "kafka_timestamp": "epoch_ms"}


class LakePast:
    """One stream's log table at one state; at a newer one where its files are gone before they were read."""

    def __init__(self, settings: LakeSettings, stream: Stream, span: int = _SPAN) -> None:
        self._stream = stream
        self._catalog = Catalog.of_local_files(settings)
        self._engine = Engine(_MEMORY_MB)
        self._span = span
        self._schema: Schema
        self._snapshot: int | None = None
        self._until: dict[int, int] = {}
        self._gaps: dict[int, tuple[int, int]] = {}
        self._pieces: dict[int, list[Piece]] = {}

    def close(self) -> None:
        self._catalog.close()

    def pin(self) -> None:
        """Hold on to the table as it is now; blocks.

        Raises:
            TryLater: the lake is away, or has no such table; so with all that follows here.
        """
        table = self._catalog.load(log_name(self._stream))
        self._pin(table)
        log.info("pinned", table=log_name(self._stream), snapshot=self._snapshot, positions=self._until)

    def until(self, partition: int) -> int:
        return self._until.get(partition, 0)

    def gap(self, partition: int) -> tuple[int, int] | None:
        return self._gaps.get(partition)

    async def oldest(self, partition: int, since: int = 0) -> Logged | None:
        async with aclosing(self.read(partition, since, self.until(partition), 1)) as batches:
            async for messages in batches:
                return messages[0]
        return None

    async def first_since(self, partition: int, timestamp_ms: int) -> int | None:
        paths = [piece.path for piece in self._pieces.get(partition, ())]
        query = f"""
            SELECT min(kafka_offset) FROM ({files(self._schema, paths)})
            WHERE kafka_partition = {partition} AND kafka_timestamp >= epoch_ms({timestamp_ms})::TIMESTAMPTZ
        """
        ((offset,),) = await asyncio.to_thread(self._engine.rows, query)
        return None if offset is None else int(str(offset))

    async def read(self, partition: int, start: int, end: int, max_records: int) -> AsyncGenerator[Sequence[Logged]]:
        at = start
        while (stretch := next_stretch(self._pieces.get(partition, ()), at, end, self._span)) is not None:
            at = max(at, stretch.start)
            try:
                async with aclosing(self._messages(partition, at, stretch, max_records)) as batches:
                    async for messages in batches:
                        yield messages
                        at = messages[-1].offset + 1
            except TryLater:
                if not await asyncio.to_thread(self._has_moved):
                    raise
                continue
            at = stretch.end

    async def _messages(
        self, partition: int, start: int, stretch: Stretch, max_records: int
    ) -> AsyncGenerator[Sequence[Logged]]:
        """What a stretch has from `start` on."""
        query = f"""
            SELECT {", ".join(self._columns())} FROM ({files(self._schema, stretch.paths)})
            WHERE kafka_partition = {partition} AND kafka_offset >= {start} AND kafka_offset < {stretch.end}
            ORDER BY kafka_offset
        """
        rows = self._rows(query)
        try:
            while (batch := await asyncio.to_thread(next, rows, None)) is not None:
                for first in range(0, batch.num_rows, max_records):
                    yield [_message(self._stream, row) for row in batch.slice(first, max_records).to_pylist()]
        finally:
            await asyncio.to_thread(rows.close)

    def _rows(self, query: str) -> Generator[pa.RecordBatch]:
        with self._engine.stream(query) as batches:
            yield from batches

    def _columns(self) -> list[str]:
        return [
            f"{_TIMES[name]}({quoted(name)}) AS {quoted(name)}" if name in _TIMES else quoted(name)
            for name in (field.name for field in self._schema.fields)
        ]

    def _has_moved(self) -> bool:
        """Whether the table is another by now, which is held on to then: compaction and expiry took files away."""
        before = self._snapshot
        self.pin()
        return self._snapshot != before

    def _pin(self, table: "Table") -> None:
        snapshot = table.current_snapshot()
        with translated(f"a look at {log_name(self._stream)}"):
            found = [task.file for task in table.scan().plan_files()] if snapshot is not None else []
        self._schema = table.schema()
        self._snapshot = None if snapshot is None else snapshot.snapshot_id
        self._until = decode_positions(table.properties.get(POSITIONS))
        self._gaps = decode_gaps(table.properties.get(GAPS))
        self._pieces = pieces(self._schema, found)


def _message(stream: Stream, row: dict[str, Any]) -> Logged:
    """A row as `ingest` wrote it; fields that no record has are passed over."""
    value = None if row["erased"] else msgspec.json.encode(msgspec.convert(row, RECORD[stream]))
    return Logged(row["kafka_offset"], row["unique_identifier"].encode(), value, row["kafka_timestamp"])
