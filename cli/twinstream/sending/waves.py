"""Records packed into waves: what is in flight at once, with every id in one lane. Pure."""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from common.contracts import Stream
from twinstream.sending.lines import MAX_LINE_BYTES, START, Position, RawLine
from twinstream.sending.tally import Refusal

_PARENT: Final = "Stream_A_unique_identifier"


class Outgoing(NamedTuple):
    """A record's JSON as it stands in its source; `lane` is equal for equal ids."""

    end: Position
    stream: Stream
    lane: int
    raw: bytes


@dataclass(frozen=True)
class WaveSize:
    """How much may be in flight: `lanes` requests per stream, each of at most so much.

    A second lane keeps ingest busy while the log acknowledges the first; on two cores, more were no faster.
    """

    lanes: int = 2
    records: int = 1_000
    bytes: int = 1024 * 1024


@dataclass
class Batch:
    """The records of one request."""

    stream: Stream
    records: list[Outgoing] = field(default_factory=list)
    bytes: int = 0


@dataclass
class Wave:
    """Batches in flight together, what is refused without being sent, and where the source stands behind them."""

    batches: dict[tuple[Stream, int], Batch] = field(default_factory=dict)
    refused: list[Refusal] = field(default_factory=list)
    end: Position = START

    @property
    def records(self) -> int:
        return sum(len(batch.records) for batch in self.batches.values())

    def takes(self, record: Outgoing | Refusal, size: WaveSize) -> bool:
        """Take `record` in if it still fits, and tell whether it did; one larger than the limit goes alone."""
        if isinstance(record, Refusal):
            self.refused.append(record)
        else:
            place = (record.stream, record.lane % size.lanes)
            batch = self.batches.get(place)
            if batch is None:
                batch = self.batches[place] = Batch(record.stream)
            elif len(batch.records) >= size.records or batch.bytes + len(record.raw) >= size.bytes:
                return False
            batch.records.append(record)
            batch.bytes += len(record.raw) + 1
        self.end = record.end
        return True


class _Ids(msgspec.Struct, gc=False):
    """What of a record decides where it goes; everything else is ingest's to judge."""

    id: str | int | None = msgspec.field(name="unique_identifier", default=None)
    a_id: msgspec.Raw | msgspec.UnsetType = msgspec.field(name=_PARENT, default=msgspec.UNSET)


_decode = msgspec.json.Decoder(_Ids).decode


def lane_of(record_id: str) -> int:
    """A number that is equal for equal ids."""
    return zlib.crc32(record_id.encode("utf-8", "surrogatepass"))


def addressed(line: RawLine, stream: Stream | None) -> Outgoing:
    """A line with the stream it belongs to: `stream`, or else B if it names a parent and A if not."""
    raw = line.raw or b""
    try:
        ids = _decode(raw)
        is_child, lane = ids.a_id is not msgspec.UNSET, lane_of(str(ids.id))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # ingest will refuse it and say why
        is_child, lane = _PARENT.encode() in raw, 0
    return Outgoing(line.end, stream or (Stream.B if is_child else Stream.A), lane, raw)


def addressed_lines(lines: Iterable[RawLine | None], stream: Stream | None) -> Iterator[Outgoing | Refusal | None]:
    """Lines with where they go; one that no request could hold is refused on the spot."""
    for line in lines:
        yield None if line is None else _too_long(line, stream) if line.raw is None else addressed(line, stream)


def waves(records: Iterable[Outgoing | Refusal | None], size: WaveSize) -> Iterator[Wave]:
    """Pack `records`; None, where a source is silent, closes a wave though it be empty.

    When the source breaks off with an error, what it gave before is given as waves first.
    """
    wave = Wave()
    try:
        for record in records:
            if record is None:
                yield wave
                wave = Wave()
            elif not wave.takes(record, size):
                yield wave
                wave = Wave()
                wave.takes(record, size)
    except Exception:
        yield wave
        raise
    yield wave


def _too_long(line: RawLine, stream: Stream | None) -> Refusal:
    return Refusal(
        end=line.end,
        stream=stream or Stream.A,
        code="record_too_large",
        detail=f"The line has more than {MAX_LINE_BYTES:,} bytes; it was not sent.",
    )
