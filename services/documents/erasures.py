"""What the erasure of an id makes void among what was put aside. Pure."""

from typing import Final, NamedTuple

from common.contracts import RECORDS, Stream

_SKEW_MS: Final = 1_000  # by which the clocks of two machines may differ


class Erasure(NamedTuple):
    """The last one of an id."""

    through: int  # offset of its tombstone, in the id's partition of the log
    at: int  # ms since the epoch: when the tombstone was written


class PutAside(NamedTuple):
    """Which record was rejected, and when."""

    id: str  # <topic>/<partition>/<offset> of what a worker refused
    stream: str
    rejected_at: int  # ms since the epoch


def is_void(rejected: PutAside, erasure: Erasure) -> bool:
    """Whether it was put aside before the id was erased: by its place in the log where it has one, else by its time."""
    topic, _, place = rejected.id.partition("/")
    offset = place.rpartition("/")[2]
    if topic == RECORDS[Stream(rejected.stream)] and offset.isdecimal():
        return int(offset) < erasure.through
    return rejected.rejected_at <= erasure.at + _SKEW_MS
