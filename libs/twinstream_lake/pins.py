"""A state of the lake that does not move: the four tables, each at one snapshot, and the files that these are made of.

Pinned files stay for as long as the snapshot does, and for a grace beyond it, whatever is written meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyiceberg.schema import Schema

from common.contracts import Stream
from common.errors import Refused
from twinstream_lake.catalog import Catalog, translated
from twinstream_lake.layout import POSITIONS, decode_positions, latest_name, log_name

if TYPE_CHECKING:
    from pyiceberg.table import Table


@dataclass(frozen=True)
class Pin:
    """One table at one snapshot."""

    table: str
    snapshot: int | None
    """None: nothing has been written yet."""
    schema: Schema
    files: tuple[str, ...]
    rows: int
    positions: Mapping[int, int]
    """By partition, the offset before which the log is in it."""


@dataclass(frozen=True)
class StreamPin:
    """A stream's log and latest, and those files of the log that may hold what the latest does not have yet."""

    log: Pin
    latest: Pin
    tail: tuple[str, ...]
    tail_rows: int
    """How many rows these files have: no fewer than there are behind the latest."""


def pin(catalog: Catalog, stream: Stream, snapshots: Mapping[str, int | None] | None = None) -> StreamPin:
    """A stream as it is now, or as it was at `snapshots`, by table.

    Raises:
        Refused: invalid_parameter; a snapshot has expired.
        TryLater: the catalog is away, or the tables are not there yet.
    """
    # The latest first: whatever log is read after it has all that the latest was made of, and more.
    latest = catalog.load(latest_name(stream))
    log = catalog.load(log_name(stream))
    pinned_latest = _pin(latest, latest_name(stream), snapshots)
    pinned_log = _pin(log, log_name(stream), snapshots)
    tail, rows = pinned_log.files, pinned_log.rows
    if pinned_latest.positions and pinned_log.snapshot is not None:
        tail, rows = _files(log, pinned_log.snapshot, behind(pinned_latest.positions))
    return StreamPin(pinned_log, pinned_latest, tail, rows)


def _pin(table: "Table", name: str, snapshots: Mapping[str, int | None] | None) -> Pin:
    current = table.current_snapshot()
    if snapshots is not None:
        wanted = snapshots.get(name)
        current = None if wanted is None else table.snapshot_by_id(wanted)
        if wanted is not None and current is None:
            raise Refused("invalid_parameter", f"Snapshot {wanted} of {name} has expired.")
    if current is None:
        return Pin(name, None, table.schema(), (), 0, {})
    files, rows = _files(table, current.snapshot_id, None)
    summary = current.summary
    return Pin(
        name,
        current.snapshot_id,
        table.schema(),
        files,
        rows,
        decode_positions(summary.get(POSITIONS) if summary else None),
    )


def _files(table: "Table", snapshot: int, only: str | None) -> tuple[tuple[str, ...], int]:
    """The files of a snapshot, those that cannot have rows of interest left out, and how many rows they have."""
    with translated("the planning of a read"):
        scan = table.scan(snapshot_id=snapshot) if only is None else table.scan(only, snapshot_id=snapshot)
        files = [task.file for task in scan.plan_files()]
    return tuple(sorted(file.file_path for file in files)), sum(file.record_count for file in files)


def behind(positions: Mapping[int, int]) -> str:
    """A condition on rows of the log, in the words of SQL and of Iceberg: they stand at or behind `positions`.

    Nothing in it that the files' bounds cannot answer: "not in" would let no file be left out.
    """
    if not positions:
        return "true"
    last = max(positions)
    ranges = [f"(kafka_partition = {p} and kafka_offset >= {positions.get(p, 0)})" for p in range(last + 1)]
    return " or ".join([*ranges, f"kafka_partition > {last}"])
