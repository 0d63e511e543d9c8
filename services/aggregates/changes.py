"""What a partition's messages mean for each shard: folded to the newest version of each id. Pure.

Every record counts as an event; an id counts once, as its newest version. What lies beyond the horizon by now is left
out, and what did so already when it was ingested is counted as late.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from aggregates.revisions import Revisions
from common.contracts import Record, Stream, Version, version_of
from common.errors import Refused
from common.kafka.batches import Entry
from common.kafka.records import read_record
from common.kafka.rejections import Refusal
from windows.layout import HOUR_MS, MINUTE_MS, Layout, Pane, pack_held, pack_version

_MINUTES_PER_HOUR: Final = HOUR_MS // MINUTE_MS


class Item(NamedTuple):
    """A message that could be read: a record, or the id that a tombstone erases."""

    offset: int
    content: Record | str


class Newest(NamedTuple):
    """The newest version of an id within a batch."""

    version: Version
    record: Record


@dataclass
class ShardChanges:
    """What one shard must take in."""

    erased: dict[str, None] = field(default_factory=dict)
    newest: dict[str, Newest] = field(default_factory=dict)
    minutes: Counter[int] = field(default_factory=Counter)
    late_hours: Counter[int] = field(default_factory=Counter)
    folded: int = 0
    """Records that another of their id in the batch outdid, or a tombstone made void."""
    expired: int = 0
    """Records that lie beyond the horizon by now."""

    def erase(self, record_id: str) -> None:
        self.erased[record_id] = None
        self.folded += self.newest.pop(record_id, None) is not None

    def take(self, record: Record, horizon_ms: int, oldest_ms: int) -> None:
        if record.ingested_at // 1000 - record.event_time > horizon_ms:
            self.late_hours[record.ingested_at // 1000 // HOUR_MS] += 1
        if record.event_time < oldest_ms:
            self.expired += 1
            return
        self.minutes[record.event_time // MINUTE_MS] += 1
        version = version_of(record)
        known = self.newest.get(record.id)
        self.folded += known is not None
        if known is None or version > known.version:
            self.newest[record.id] = Newest(version, record)

    def panes(self) -> Iterator[tuple[str, int]]:
        """Each pane that grows, with by how much."""
        hours: Counter[int] = Counter()
        for minute, count in self.minutes.items():
            hours[minute // _MINUTES_PER_HOUR] += count
            yield Pane.minute(minute), count
        yield from ((Pane.hour(hour), count) for hour, count in hours.items())
        yield from ((Pane.late(hour), count) for hour, count in self.late_hours.items())


class Move(NamedTuple):
    """A partition's position before a batch and after it."""

    partition: int
    expected: int
    next: int


def read(stream: Stream, entries: Iterable[Entry]) -> tuple[list[Item], list[Refusal]]:
    """`entries` as items, and those that are none."""
    items: list[Item] = []
    refusals: list[Refusal] = []
    for entry in entries:
        try:
            items.append(Item(entry.offset, read_record(stream, entry)))
        except Refused as refused:
            refusals.append(Refusal(entry, refused.code, refused.detail))
    return items, refusals


def by_shard(layout: Layout, items: Iterable[Item]) -> list[list[Item]]:
    """`items` in their order, for each shard."""
    shards: list[list[Item]] = [[] for _ in range(layout.generation.shards)]
    for item in items:
        content = item.content
        shards[layout.shard_of(content if isinstance(content, str) else content.id)].append(item)
    return shards


def fold(items: Iterable[Item], *, horizon_ms: int, oldest_ms: int) -> ShardChanges:
    """What `items` of one shard come to.

    Args:
        items: in the order of the log.
        horizon_ms: what was older than this at its ingestion is late.
        oldest_ms: what lies before it is left out.
    """
    changes = ShardChanges()
    for _, content in items:
        if isinstance(content, str):
            changes.erase(content)
        else:
            changes.take(content, horizon_ms, oldest_ms)
    return changes


class Packed(NamedTuple):
    """The arguments of apply.lua, and how often each condition failed on a record."""

    blob: bytes
    failures: Counter[int]


def pack(changes: ShardChanges, revisions: Revisions, move: Move) -> Packed:
    """The arguments of apply.lua: columns, for a table per record would cost the script twice the time."""
    match, failures = revisions.compiled.match, Counter[int]()
    combinations: dict[tuple[int, ...], tuple[int, bytes]] = {}
    heads: list[msgspec.Raw] = []
    combination: list[int] = []
    for version, record in changes.newest.values():
        held, failed = match(record)
        failures.update(failed)
        known = combinations.get(held)
        if known is None:
            known = combinations[held] = len(combinations) + 1, pack_held(sorted(held))
        number, packed = known
        combination.append(number)
        heads.append(lua_string(pack_version(version) + packed + _parent(record).encode()))
    arguments = {
        "partition": move.partition,
        "expected": move.expected,
        "next": move.next,
        "token": revisions.token,
        "per_a": revisions.per_a,
        "erased": list(changes.erased),
        "ids": list(changes.newest),
        "heads": heads,
        "times": [newest.version.event_time for newest in changes.newest.values()],
        "parents": [_parent(newest.record) for newest in changes.newest.values()],
        "combination": combination,
        "combinations": [sorted(held) for held in combinations],
        "panes": [value for pane in changes.panes() for value in pane],
    }
    return Packed(msgspec.msgpack.encode(arguments), failures)


def _parent(record: Record) -> str:
    return getattr(record, "a_id", "")


def lua_string(value: bytes) -> msgspec.Raw:
    """MessagePack's string, whatever the bytes: Lua's decoder knows no binaries, and to Lua they are the same."""
    size = len(value)
    header = b"\xd9" + size.to_bytes(1, "big") if size < 256 else b"\xda" + size.to_bytes(2, "big")
    return msgspec.Raw(header + value)


def last_ingested_ms(items: Sequence[Item]) -> int | None:
    """When the last record among `items` was ingested."""
    for _, content in reversed(items):
        if not isinstance(content, str):
            return content.ingested_at // 1000
    return None
