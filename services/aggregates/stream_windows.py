"""One stream's windows kept up to date: its batches, its conditions, and what its shards answer."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import structlog

from aggregates.changes import Item, Move, Packed, ShardChanges, by_shard, fold, pack
from aggregates.revisions import Revisions, none_yet
from aggregates.store import SERVICE, Answer, Found, WindowStore
from common import metrics
from common.clock import Clock
from common.contracts import Stream
from common.errors import Reposition, TryLater
from common.kafka.batches import Batch

log = structlog.get_logger()

_MEMBERSHIPS_PER_CALL: Final = 50_000  # what Redis needs about a tenth of a second for
_SAMPLE: Final = 20
_ROUNDS: Final = 5
"""Apply, learn of a position or of conditions, apply again: twice over, and once to spare."""


class StreamWindows:
    """Brings batches of one stream into its shards."""

    def __init__(self, store: WindowStore, stream: Stream, clock: Clock) -> None:
        self.store = store
        self.stream = stream
        self.revisions = none_yet(stream)
        self.stale = False
        """Whether a shard knows of conditions what we do not: `revisions` must be chosen anew."""
        self.settled = False
        """Whether every revision is whole: then only control, or a generation, can change what is evaluated."""
        self._clock = clock

    async def positions(self, partitions: Collection[int]) -> Mapping[int, int]:
        return await self.store.positions(partitions)

    async def apply(self, batch: Batch, items: Sequence[Item]) -> None:
        """Bring `items`, which are those of `batch` that can be read, into every shard.

        A shard that is ahead, because an earlier attempt reached it, is given the rest only.

        Raises:
            TryLater: Redis is away, or control has not told us yet what another worker knows.
            Reposition: a shard is behind the batch: it lost what came before.
        """
        revisions, position = self.revisions, batch.position
        size = _bearable(items, revisions)
        for first in range(0, len(items) or 1, size):
            piece = items[first : first + size]
            behind = batch.next_position if first + size >= len(items) else piece[-1].offset + 1
            await self._apply(Move(batch.partition.number, position, behind), piece, revisions)
            position = behind

    async def _apply(self, piece: Move, items: Sequence[Item], revisions: Revisions) -> None:
        shards = by_shard(self.store.layout, items)
        pending = dict.fromkeys(range(len(shards)), piece.expected)
        for _ in range(_ROUNDS):
            moves = {n: piece._replace(expected=at) for n, at in pending.items()}
            changes = {n: self._fold(shards[n], move, piece.expected) for n, move in moves.items()}
            packed = {n: pack(changes[n], revisions, move) for n, move in moves.items()}
            answers = await self.store.apply({n: pack.blob for n, pack in packed.items()})
            for n in _those(answers, Found.APPLIED):
                self._count(changes[n], packed[n], revisions)
                del pending[n]
            _catch_up(pending, answers, piece)
            if not pending:
                return
            await self._adopt(piece.partition, pending, _those(answers, Found.CONDITIONS), revisions)
        raise Reposition(f"shards {sorted(pending)} keep moving")

    async def go_live(self, partition: int, position: int) -> bool:
        """Have the present conditions adopted at `position` though no batch has come; returns whether it stood there.

        Raises:
            TryLater: as `apply` does.
        """
        pending = dict.fromkeys(range(self.store.layout.generation.shards), position)
        return await self._adopt(partition, pending, list(pending), self.revisions)

    def _fold(self, items: Iterable[Item], move: Move, position: int) -> ShardChanges:
        rest = items if move.expected == position else (item for item in items if item.offset >= move.expected)
        layout = self.store.layout
        return fold(
            rest, horizon_ms=layout.generation.horizon_ms, oldest_ms=self._clock.now_ms() - layout.oldest_kept_ms
        )

    async def _adopt(
        self, partition: int, pending: Mapping[int, int], shards: Iterable[int], revisions: Revisions
    ) -> bool:
        by_position: dict[int, list[int]] = {}
        for n in shards:
            by_position.setdefault(pending[n], []).append(n)
        adopted = True
        for position, those in by_position.items():
            answers = await self.store.adopt(revisions, partition, position, those)
            adopted = adopted and all(answer.found is Found.ADOPTED for answer in answers.values())
            self._refuse_stale(answers)
        return adopted

    def _refuse_stale(self, answers: Mapping[int, Answer]) -> None:
        for n, answer in answers.items():
            if answer.found is Found.CONTROL:
                self.stale = True
                raise TryLater(f"shard {n} knows control up to {answer.value}, this worker not yet", 0.1)
            if answer.found is Found.DROPPED:
                self.stale = True
                raise TryLater(f"shard {n} has dropped revision {answer.value}", 0.1)

    def _count(self, changes: ShardChanges, packed: Packed, revisions: Revisions) -> None:
        outcomes = {
            "applied": len(changes.newest),
            "folded": changes.folded,
            "expired": changes.expired,
            "erased": len(changes.erased),
        }
        for outcome, count in outcomes.items():
            metrics.APPLIED.labels(SERVICE, self.stream, outcome).inc(count)
        metrics.LATE.labels(self.stream).inc(changes.late_hours.total())
        for revision, count in packed.failures.items():
            name = revisions.conditions[revision].name
            metrics.CONDITION_FAILURES.labels(self.stream, name).inc(count)


def _those(answers: Mapping[int, Answer], found: Found) -> list[int]:
    return [n for n, answer in answers.items() if answer.found is found]


def _catch_up(pending: dict[int, int], answers: Mapping[int, Answer], piece: Move) -> None:
    """Believe the shards that stand elsewhere: those past `piece` are done, those within it need the rest."""
    for n in _those(answers, Found.POSITION):
        position = answers[n].value
        if position < piece.expected:
            raise Reposition(f"shard {n} stands at {position}, before {piece.expected}")
        if position >= piece.next:
            del pending[n]
        else:
            pending[n] = position


def _bearable(items: Sequence[Item], revisions: Revisions) -> int:
    """How many of `items` make one call, judged by an even sample of them: nobody else is served while it runs."""
    sample = [item.content for item in items[:: 1 + len(items) // _SAMPLE] if not isinstance(item.content, str)]
    held = [n for record in sample for n in revisions.compiled.match(record).held]
    per_a = set(revisions.per_a)
    memberships = 2 + sum(1 + (n in per_a) for n in held) / max(1, len(sample))
    return max(1, int(_MEMBERSHIPS_PER_CALL / memberships))
