"""What a batch says of each id: decoded, then folded into at most one write per id. Pure.

A fold keeps the greatest version of an id and the smallest event time of all of its versions, so one write does what
one write per record would have done. A tombstone erases the id: what the batch says of it before is void, and what it
says after it is a new beginning, to be written once the id is erased.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from common.contracts import Record, Stream, Version, version_of
from common.errors import Refused
from common.kafka.batches import Entry
from common.kafka.records import read_record
from common.kafka.rejections import Refusal


class Upsert(NamedTuple):
    """The greatest version of an id within a batch."""

    record: Record
    version: Version
    first_seen: int  # ms: the smallest event time of any of the id's versions within the batch
    entry: Entry  # the message that it came in


@dataclass
class Changes:
    """What a batch comes to. Every message is counted once: in `upserts`, `folded`, `tombstones` or `refusals`."""

    erased: dict[str, int] = field(default_factory=dict)
    """Ids to erase before anything is written, each with the offset of its last tombstone."""
    erased_at: dict[str, int] = field(default_factory=dict)
    """When those tombstones were written, in ms since the epoch."""
    upserts: dict[str, Upsert] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    folded: int = 0
    """Records that another of their id in the batch outdid, or a tombstone made void."""
    tombstones: int = 0

    def take(self, record: Record, entry: Entry) -> None:
        upsert = Upsert(record, version_of(record), record.event_time, entry)
        known = self.upserts.get(record.id)
        if known is not None:
            self.folded += 1
            greater = upsert if upsert.version > known.version else known
            upsert = greater._replace(first_seen=min(known.first_seen, upsert.first_seen))
        self.upserts[record.id] = upsert

    def erase(self, record_id: str, entry: Entry) -> None:
        self.tombstones += 1
        self.erased[record_id] = entry.offset
        self.erased_at[record_id] = entry.timestamp
        if self.upserts.pop(record_id, None) is not None:
            self.folded += 1


def fold(stream: Stream, entries: Iterable[Entry]) -> Changes:
    """What `entries`, in the order of the log, come to; those that are no records of `stream` are refused."""
    changes = Changes()
    for entry in entries:
        try:
            said = read_record(stream, entry)
        except Refused as refused:
            changes.refusals.append(Refusal(entry, refused.code, refused.detail))
            continue
        if isinstance(said, str):
            changes.erase(said, entry)
        else:
            changes.take(said, entry)
    return changes
