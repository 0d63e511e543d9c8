"""What was read and is not committed yet, and when it must be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from common.kafka.batches import Partition
from common.kafka.rejections import Refusal
from lake.writer.rows import Rows


@dataclass(frozen=True)
class Due:
    """When a commit waits no more."""

    seconds: float
    rows: int
    bytes: int


@dataclass
class Pending:
    """Rows on their way into a table, and where the log goes on after them."""

    believed: Mapping[int, int]
    """Where the table stood when reading began."""
    batches: list[pa.RecordBatch] = field(default_factory=list)
    refusals: list[tuple[Partition, Refusal]] = field(default_factory=list)
    next_offsets: dict[int, int] = field(default_factory=dict)
    gaps: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By partition, between which offsets Kafka had lost what was there when its turn came."""
    rows: int = 0
    bytes: int = 0
    erased: int = 0
    since: float | None = None

    def take(self, partition: Partition, rows: Rows, next_offset: int, now: float) -> None:
        """Take in a stretch of `partition` that ends before `next_offset`."""
        if self.since is None:
            self.since = now
        self.batches.append(rows.batch)
        self.refusals += [(partition, refusal) for refusal in rows.refusals]
        self.next_offsets[partition.number] = next_offset
        self.rows += rows.batch.num_rows
        self.bytes += rows.batch.nbytes
        self.erased += rows.erased

    @property
    def positions(self) -> Mapping[int, int]:
        """Where the table stands once this is in it."""
        return {**self.believed, **self.next_offsets}

    def is_due(self, due: Due, now: float) -> bool:
        waited = self.since is not None and now - self.since >= due.seconds
        return waited or self.rows >= due.rows or self.bytes >= due.bytes

    def wait_s(self, due: Due, now: float) -> float:
        """How long until it is due, if nothing more comes."""
        return due.seconds if self.since is None else max(0.0, self.since + due.seconds - now)


def ages_of(batches: Sequence[pa.RecordBatch], now_us: int, sample: int) -> list[float]:
    """The seconds since their ingestion of an even sample of rows."""
    ages: list[float] = []
    for batch in batches:
        ingested = batch.column("ingested_at").cast(pa.int64())
        step = 1 + batch.num_rows // sample
        ages += [max(0, now_us - one) / 1_000_000 for one in ingested[::step].drop_null().to_pylist()]
    return ages
