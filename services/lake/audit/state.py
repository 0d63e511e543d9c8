"""One stream's tables at one state, as an audit asks them. Every call blocks."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from common.contracts import STORED, StoredA, Stream
from twinstream_lake.engine import Engine
from twinstream_lake.pins import StreamPin
from twinstream_lake.views import files, fresh, literal

HOUR_MS: Final = 3_600_000

_STORED: Final = """unique_identifier AS id, number, text, epoch_ms(event_time) AS event_time,
    epoch_us(ingested_at) AS ingested_at, content_hash, epoch_ms(first_seen) AS first_seen"""


class Written(NamedTuple):
    """What of a partition is in the log table."""

    rows: int
    doubled: int
    """Rows beyond the first of an offset."""
    first: int
    last: int


class Hours(NamedTuple):
    """By the number of an hour since the epoch, what lies in it by its event time."""

    items: Mapping[int, int]
    events: Mapping[int, int]


class LakeState:
    """A pinned state, asked in SQL."""

    def __init__(self, stream: Stream, pinned: StreamPin, engine: Engine) -> None:
        self.stream = stream
        self.positions = pinned.log.positions
        self._pinned = pinned
        self._engine = engine
        self._log = files(pinned.log.schema, pinned.log.files)

    def written(self) -> dict[int, Written]:
        """By partition, how many rows there are, and whether any message is in twice.

        Raises:
            TryLater: there was not enough memory or disk, or a file was gone; so with all that follows here.
        """
        found = self._engine.rows(f"""
            SELECT kafka_partition, count(*), count(*) - count(DISTINCT kafka_offset), min(kafka_offset),
                max(kafka_offset)
            FROM ({self._log}) GROUP BY ALL
        """)
        return {_int(partition): Written(*map(_int, rest)) for partition, *rest in found}

    def messages(self, partition: int, start: int, end: int) -> dict[int, dict[str, Any]]:
        """The rows of the log from `start` to before `end`, by offset."""
        place = f"kafka_partition = {partition} AND kafka_offset >= {start} AND kafka_offset < {end}"
        with self._engine.stream(f"SELECT * FROM ({self._log}) WHERE {place}") as batches:
            return {row["kafka_offset"]: row for batch in batches for row in batch.to_pylist()}

    def places(self, most: int, count: int) -> list[str]:
        """`count` ids by chance, in their order; none when there are no more than `most` in all."""
        table = self._pinned.latest if self._pinned.latest.rows else self._pinned.log
        if table.rows <= most:
            return []
        ids = f"SELECT unique_identifier FROM ({files(table.schema, table.files)}) USING SAMPLE {count} ROWS"
        return sorted({str(id_) for (id_,) in self._engine.rows(ids)})

    def newest(self, after: str, last: str | None) -> dict[str, StoredA]:
        """The newest version of each id behind `after` up to `last`, as a document would say it."""
        only = f"unique_identifier > {literal(after)}"
        only += "" if last is None else f" AND unique_identifier <= {literal(last)}"
        parent = ", Stream_A_unique_identifier AS a_id" if self.stream is Stream.B else ""
        with self._engine.stream(f"SELECT {_STORED}{parent} FROM ({fresh(self._pinned, only)})") as batches:
            rows = [row for batch in batches for row in batch.to_pylist()]
        return {row["id"]: STORED[self.stream](**row) for row in rows}

    def hours(self, first: int, end: int) -> Hours:
        """What lies in each hour from `first` to before `end`."""
        hour = f"epoch_ms(event_time) // {HOUR_MS}"
        within = f"{hour} >= {first} AND {hour} < {end}"
        counted = "SELECT {} AS hour, count(*) FROM ({}) WHERE {} GROUP BY ALL"
        items = self._engine.rows(counted.format(hour, fresh(self._pinned), within))
        events = self._engine.rows(counted.format(hour, self._log, f"NOT erased AND {within}"))
        return Hours(*({_int(number): _int(rows) for number, rows in found} for found in (items, events)))

    def hours_of(self, ids: list[str]) -> dict[str, int]:
        """In which hour the newest version of each of `ids` lies, where there is one."""
        if not ids:
            return {}
        only = f"unique_identifier IN ({', '.join(map(literal, ids))})"
        query = f"SELECT unique_identifier, epoch_ms(event_time) // {HOUR_MS} FROM ({fresh(self._pinned, only)})"
        return {str(id_): _int(hour) for id_, hour in self._engine.rows(query)}


def _int(value: object) -> int:
    return int(str(value))
