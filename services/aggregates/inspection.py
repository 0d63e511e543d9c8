"""Looking into a shard's sets from the side, for the audit: what an id is part of, and what a set holds."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.contracts import Version
from windows.connection import Command, Connection
from windows.layout import ALL, HEAD, HELD, OF, Layout, held_name, unpack_head


@dataclass(frozen=True)
class Seen:
    """What the windows say of an id; None and empty where they do not know it."""

    version: Version | None
    parent: str
    held: frozenset[int]
    """What its head says."""
    listed_at: float | None
    """Its score among all ids."""
    of_at: float | None
    """Its score among those of its parent."""
    held_at: dict[int, float | None]
    """Its score in each condition that was asked for."""


class Inspector:
    """Reads a generation as it lies there."""

    def __init__(self, connection: Connection, layout: Layout) -> None:
        self._connection = connection
        self._layout = layout

    async def see(self, ids: Sequence[str], conditions: dict[int, str]) -> dict[str, Seen]:
        """What the windows say of `ids`, and whether they hold `conditions`, given as revision and name.

        Raises:
            TryLater: Redis is away.
        """
        bases = {record_id: self._layout.base(self._layout.shard_of(record_id)) for record_id in ids}
        heads = await self._connection.pipelined([("HGET", base + HEAD, id_) for id_, base in bases.items()])
        known = {id_: unpack_head(head) for id_, head in zip(ids, heads, strict=True) if head is not None}
        scores = await self._connection.pipelined(
            [
                command
                for id_, (_, _, parent) in known.items()
                for command in _places(bases[id_], id_, parent, conditions)
            ]
        )
        width = 2 + len(conditions)
        seen = dict.fromkeys(ids, Seen(None, "", frozenset(), None, None, {}))
        for n, (id_, (version, held, parent)) in enumerate(known.items()):
            listed, of, *rest = [_number(score) for score in scores[n * width : (n + 1) * width]]
            seen[id_] = Seen(version, parent, frozenset(held), listed, of, dict(zip(conditions, rest, strict=True)))
        return seen

    async def some(self, count: int, conditions: dict[int, str]) -> list[str]:
        """About `count` ids of every shard and of each of `conditions`, by chance.

        Raises:
            TryLater: Redis is away.
        """
        suffixes = [ALL, *(HELD + held_name(name, revision) for revision, name in conditions.items())]
        drawn = await self._connection.pipelined(
            [("ZRANDMEMBER", base + suffix, count) for base in self._layout.bases() for suffix in suffixes]
        )
        return sorted({member.decode() for members in drawn for member in members})


def _places(base: str, record_id: str, parent: str, conditions: dict[int, str]) -> list[Command]:
    return [
        ("ZSCORE", base + ALL, record_id),
        ("ZSCORE", base + OF + parent, record_id),
        *(("ZSCORE", base + HELD + held_name(name, revision), record_id) for revision, name in conditions.items()),
    ]


def _number(score: object) -> float | None:
    return None if score is None else float(str(score.decode() if isinstance(score, bytes) else score))
