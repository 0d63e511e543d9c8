"""How the conditions of a stream stand in its shards: since when they are evaluated, how far they are filled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from common.contracts import Condition
from windows.connection import Connection
from windows.layout import CONDITIONS, FILL, Layout


@dataclass(frozen=True)
class ShardStanding:
    """What one shard holds of conditions."""

    conditions: Mapping[int, Condition]
    live: Mapping[tuple[int, int], int]
    """(revision, partition) → the offset from which on records were evaluated as they came."""
    filled: Mapping[tuple[int, int], int]
    """(revision, partition) → the offset up to which earlier records were evaluated afterwards."""

    def missing(self, revision: int, partition: int) -> int | None:
        """How many offsets of `partition` are yet to be evaluated against `revision`; None where it is not live."""
        live = self.live.get((revision, partition))
        return None if live is None else max(0, live - self.filled.get((revision, partition), 0))

    def live_in(self, partition: int) -> set[int]:
        """The revisions that records of `partition` are evaluated against as they come."""
        return {revision for revision, number in self.live if number == partition}


@dataclass(frozen=True)
class Standing:
    """How the conditions of a stream stand."""

    partitions: int
    shards: Sequence[ShardStanding]

    def conditions(self) -> Mapping[int, Condition]:
        """Every revision that any shard holds."""
        return self._conditions

    @cached_property
    def _conditions(self) -> dict[int, Condition]:
        return {revision: condition for shard in self.shards for revision, condition in shard.conditions.items()}

    def whole(self) -> set[int]:
        """The revisions that every record has been evaluated against."""
        return {revision for revision in self.conditions() if self.is_whole(revision)}

    def is_whole(self, revision: int) -> bool:
        return all(
            shard.missing(revision, partition) == 0 for shard in self.shards for partition in range(self.partitions)
        )

    def progress(self, revision: int) -> float:
        """The share of what is to be filled that is filled, 0 to 1; a partition that is not live yet is not begun."""
        shares = [self._share(shard, revision, partition) for shard in self.shards for partition in self._all()]
        return sum(shares) / len(shares)

    def answering(self, condition: Condition, revision: int) -> int | None:
        """The revision that answers for `condition`: `revision`, its newest, or the latest before it that is whole."""
        whole = [
            n
            for n, other in self.conditions().items()
            if n <= revision
            and (other.name, other.created_at) == (condition.name, condition.created_at)
            and self.is_whole(n)
        ]
        return max(whole, default=None)

    def _all(self) -> range:
        return range(self.partitions)

    @staticmethod
    def _share(shard: ShardStanding, revision: int, partition: int) -> float:
        missing = shard.missing(revision, partition)
        if missing is None:
            return 0.0
        live = shard.live[revision, partition]
        return 1.0 if live == 0 else 1.0 - missing / live


async def read_standing(connection: Connection, layout: Layout) -> Standing:
    """How conditions stand now.

    Raises:
        TryLater: Redis is away.
    """
    commands = [("HGETALL", base + key) for base in layout.bases() for key in (CONDITIONS, FILL)]
    replies = [pairs(reply) for reply in await connection.pipelined(commands)]
    shards = [_shard(conditions, fill) for conditions, fill in zip(replies[::2], replies[1::2], strict=True)]
    return Standing(layout.generation.partitions, shards)


def pairs(reply: Any) -> dict[bytes, bytes]:
    """A hash, however the protocol in use delivers it."""
    return dict(reply) if isinstance(reply, Mapping) else dict(zip(reply[::2], reply[1::2], strict=True))


def _shard(conditions: Mapping[bytes, bytes], fill: Mapping[bytes, bytes]) -> ShardStanding:
    live: dict[tuple[int, int], int] = {}
    filled: dict[tuple[int, int], int] = {}
    for field, offset in fill.items():
        revision, partition, what = field.decode().split("/")
        (live if what == "live" else filled)[int(revision), int(partition)] = int(offset)
    decoded = {int(n): msgspec.json.decode(value, type=Condition) for n, value in conditions.items()}
    return ShardStanding(decoded, live, filled)
