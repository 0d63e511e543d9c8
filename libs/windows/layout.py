"""Where everything about windows stands in Redis: the one definition of its keys and values.

All keys of a shard carry its tag, such as `{b:07}`, so that a cluster keeps them in one slot and one script may touch
them all. An id belongs to the shard that its CRC-32 names.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from common.contracts import Stream, Version

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS

SLACK_MS: Final = HOUR_MS
"""Kept beyond the horizon: whole panes at its edge, and room for clocks that differ."""

# What a shard holds, by the end of the key.
HEAD: Final = ":head"  # hash: id → version, conditions held, parent (see `pack_head`)
ALL: Final = ":all"  # sorted set: id by event time in ms
HELD: Final = ":c:"  # + <condition>@<revision>: sorted set, the ids that hold it
OF: Final = ":of:"  # + <a_id>: sorted set, the ids of that A
OF_HELD: Final = ":of_c:"  # + <condition>@<revision>:<a_id>: those of that A that hold it; an id may hold any mark
EVENTS: Final = ":ev"  # hash: pane → records in the log, see `Pane`
POSITIONS: Final = ":pos"  # hash: partition → next offset, and what was in force there
CONDITIONS: Final = ":conditions"  # hash: revision → the condition as JSON
DROPPED: Final = ":dropped"  # set: revisions that must not come back
FILL: Final = ":fill"  # hash: <revision>/<partition>/live → went live there, …/next → filled up to there

LUA_NAMES: Final = "\n".join(
    [
        f"local HEAD, ALL, HELD, OF, OF_HELD = '{HEAD}', '{ALL}', '{HELD}', '{OF}', '{OF_HELD}'",
        f"local EVENTS, POSITIONS, CONDITIONS = '{EVENTS}', '{POSITIONS}', '{CONDITIONS}'",
        f"local DROPPED, FILL = '{DROPPED}', '{FILL}'",
        f"local MINUTE_MS, HOUR_MS = {MINUTE_MS}, {HOUR_MS}",
    ]
)
"""The same names for scripts: put before each."""


class Pane:
    """Fields of `EVENTS`: records by event time, per minute and per hour; late ones per hour of their ingestion."""

    @staticmethod
    def minute(number: int) -> str:
        return f"m{number}"

    @staticmethod
    def hour(number: int) -> str:
        return f"h{number}"

    @staticmethod
    def late(number: int) -> str:
        return f"l{number}"


class Generation(msgspec.Struct, kw_only=True, frozen=True):
    """One filling of a stream's windows. A rebuild makes the next one beside it and then switches."""

    number: int = 0
    shards: int
    partitions: int  # of the stream's topic
    horizon_ms: int


@dataclass(frozen=True)
class Layout:
    """The keys of one generation."""

    prefix: str
    """Of the deployment: before every key."""
    stream: Stream
    generation: Generation

    def shard_of(self, record_id: str) -> int:
        return zlib.crc32(record_id.encode()) % self.generation.shards if self.generation.shards > 1 else 0

    def base(self, shard: int) -> str:
        """What every key of `shard` begins with; the first generation's is bare."""
        number = f"r{self.generation.number}:" if self.generation.number else ""
        return f"{self.prefix}{number}{{{self.stream}:{shard:02}}}"

    @property
    def pattern(self) -> str:
        """What every key of this generation matches, as SCAN understands it; the prefix is free of wild cards."""
        number = f"r{self.generation.number}:" if self.generation.number else ""
        return f"{self.prefix}{number}{{{self.stream}:[0-9][0-9]}}:*"

    def bases(self) -> list[str]:
        return [self.base(shard) for shard in range(self.generation.shards)]

    @property
    def oldest_kept_ms(self) -> int:
        """How far behind now an event time may lie and still be kept."""
        return self.generation.horizon_ms + SLACK_MS


def generation_key(prefix: str, stream: Stream) -> str:
    """The generation that answers, as JSON."""
    return f"{prefix}windows:{stream}"


def rebuild_key(prefix: str, stream: Stream) -> str:
    """Held by whoever rebuilds."""
    return f"{prefix}windows:{stream}:rebuild"


def freshness_key(prefix: str, stream: Stream) -> str:
    """Hash: partition → ms since the epoch up to which all that was in the log is counted."""
    return f"{prefix}windows:{stream}:as_of"


def held_name(condition: str, revision: int) -> str:
    """What follows `HELD`."""
    return f"{condition}@{revision}"


# --- the head's values ----------------------------------------------------------------------------------------------

VERSION_BYTES: Final = 19  # event time (ms) 6, ingested at (µs) 7, content hash 6; big-endian

_COUNT: Final = struct.Struct(">H")


def pack_version(version: Version) -> bytes:
    """The version in 19 bytes, ordered as versions are."""
    return ((version[0] << 56 | version[1]) << 48 | version[2]).to_bytes(VERSION_BYTES, "big")


def pack_head(version: Version, held: Sequence[int], parent: str) -> bytes:
    """A value of `HEAD`: the version, how many conditions are held (2 bytes), their revisions (4 each), the parent."""
    return pack_version(version) + pack_held(held) + parent.encode()


def pack_held(held: Sequence[int]) -> bytes:
    """The revisions of the conditions held, in ascending order, behind their number."""
    return struct.pack(f">H{len(held)}I", len(held), *held) if held else b"\0\0"


def unpack_head(value: bytes) -> tuple[Version, tuple[int, ...], str]:
    """Version, revisions of the conditions held, and parent."""
    packed = int.from_bytes(value[:VERSION_BYTES], "big")
    version = Version(packed >> 104, packed >> 48 & (1 << 56) - 1, packed & (1 << 48) - 1)
    count = _COUNT.unpack_from(value, VERSION_BYTES)[0]
    behind = VERSION_BYTES + 2 + 4 * count
    return version, struct.unpack_from(f">{count}I", value, VERSION_BYTES + 2), value[behind:].decode()
