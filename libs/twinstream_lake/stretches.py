"""Which files of a log table have which offsets of a partition, and in what stretches these are read. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pyiceberg.conversions import from_bytes
from pyiceberg.manifest import DataFile
from pyiceberg.schema import Schema
from pyiceberg.types import PrimitiveType


class Piece(NamedTuple):
    """A file, and between which offsets of a partition, both of them included, it may have rows."""

    path: str
    first: int
    last: int


class Stretch(NamedTuple):
    """Offsets from `start` on and before `end`, and the files that may have them."""

    start: int
    end: int
    paths: Sequence[str]


def pieces(schema: Schema, files: Iterable[DataFile]) -> dict[int, list[Piece]]:
    """The files of each partition, by the bounds that their writers noted down."""
    found: dict[int, list[Piece]] = defaultdict(list)
    for file in files:
        partitions, offsets = _bounds(schema, file, "kafka_partition"), _bounds(schema, file, "kafka_offset")
        for number in range(partitions[0], partitions[1] + 1):
            found[number].append(Piece(file.file_path, *offsets))
    return dict(found)


def next_stretch(pieces: Sequence[Piece], at: int, end: int, span: int) -> Stretch | None:
    """What to read next of `pieces` from `at` on and before `end`, at most `span` offsets; None when none is left."""
    ahead = [piece for piece in pieces if piece.last >= at and piece.first < end]
    if not ahead or at >= end:
        return None
    start = max(at, min(piece.first for piece in ahead))
    until = min(end, start + span)
    return Stretch(start, until, [piece.path for piece in ahead if piece.first < until and piece.last >= start])


def _bounds(schema: Schema, file: DataFile, name: str) -> tuple[int, int]:
    field = schema.find_field(name)
    kind = field.field_type
    if not isinstance(kind, PrimitiveType):
        raise TypeError(f"{name} is a {kind}")
    least, most = (bounds[field.field_id] for bounds in (file.lower_bounds, file.upper_bounds))
    return int(from_bytes(kind, least)), int(from_bytes(kind, most))
