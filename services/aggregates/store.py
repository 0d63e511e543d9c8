"""Writing windows to Redis: one script per step, each working on one shard, all or nothing."""

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from aggregates.revisions import Revisions
from common import metrics
from windows.connection import Connection, Script, script_of
from windows.counts import LATE
from windows.layout import DROPPED, EVENTS, HOUR_MS, LUA_NAMES, POSITIONS, Layout, Pane, freshness_key
from windows.standing import Standing, read_standing

SERVICE: Final = "aggregates"

_SCRIPTS: Final = Path(__file__).parent / "scripts"


class _Step(NamedTuple):
    """A script, and what its calls are named in metrics."""

    name: str
    script: Script


def _step(name: str) -> _Step:
    parts = (LUA_NAMES, *((_SCRIPTS / f"{part}.lua").read_text(encoding="utf-8") for part in ("shard", name)))
    return _Step(name, script_of("\n".join(parts)))


_APPLY: Final = _step("apply")
_ADOPT: Final = _step("adopt")
_FILL: Final = _step("fill")
_TRIM: Final = _step("trim")
_DROP: Final = _step("drop")


class Found(StrEnum):
    """How a shard answers: done, or what it found instead of what was expected."""

    APPLIED = "applied"  # value: how many ids were news
    ADOPTED = "adopted"
    FILLED = "filled"  # value: how many ids joined
    POSITION = "position"  # value: where it stands
    CONDITIONS = "conditions"  # others are in force here than the batch was evaluated against
    CONTROL = "control"  # value: how far the former worker had read control
    DROPPED = "dropped"  # value: a revision that must not come back


class Answer(NamedTuple):
    """A shard's answer."""

    found: Found
    value: int


class WindowStore:
    """The windows of one generation of a stream."""

    def __init__(self, connection: Connection, layout: Layout) -> None:
        self._connection = connection
        self.layout = layout

    async def positions(self, partitions: Collection[int]) -> dict[int, int]:
        """The next offset of each of `partitions`: the smallest that any shard has; those none has are left out.

        Raises:
            TryLater: Redis is away; so with all that follows here.
        """
        wanted = list(partitions)
        replies = await self._connection.pipelined(
            [("HMGET", base + POSITIONS, *wanted) for base in self.layout.bases()] if wanted else []
        )
        smallest = [min(int(offset or 0) for offset in offsets) for offsets in zip(*replies, strict=True)]
        return dict(zip(wanted, smallest, strict=True))

    async def apply(self, blobs: Mapping[int, bytes]) -> dict[int, Answer]:
        """Run apply.lua on the shards of `blobs` in one round trip."""
        return await self._run(_APPLY, blobs)

    async def adopt(
        self, revisions: Revisions, partition: int, expected: int, shards: Iterable[int]
    ) -> dict[int, Answer]:
        """From the position `expected` on, batches of `partition` are evaluated against `revisions`."""
        conditions = [(n, msgspec.json.encode(condition).decode()) for n, condition in revisions.conditions.items()]
        blob = _encode(
            partition=partition,
            expected=expected,
            control=revisions.control,
            token=revisions.token,
            conditions=[value for pair in conditions for value in pair],
        )
        return await self._run(_ADOPT, dict.fromkeys(shards, blob))

    async def fill(self, blobs: Mapping[int, bytes]) -> dict[int, Answer]:
        """Run fill.lua on the shards of `blobs` in one round trip."""
        return await self._run(_FILL, blobs)

    async def trim(self, oldest_ms: int, limit: int) -> int:
        """Forget up to `limit` ids of each shard whose event time lies before `oldest_ms`, and panes that do.

        Returns:
            How many ids went from the shard that had most to forget: less than `limit` when all are done.
        """
        blob = _encode(oldest=oldest_ms, limit=limit)
        return max(await self._counts(_TRIM, blob), default=0)

    async def drop(self, revision: int, limit: int) -> int:
        """Forget what up to `limit` ids of each shard hold of `revision`; 0 once nothing is left of it."""
        return max(await self._counts(_DROP, _encode(revision=revision, limit=limit)), default=0)

    async def tell(self, as_of_ms: Mapping[int, int], late: int | None = None) -> None:
        """Tell readers up to when each of these partitions is counted, and how many records came too late."""
        values: dict[str | bytes, int] = {str(partition): moment for partition, moment in as_of_ms.items()}
        if late is not None:
            values[LATE] = late
        if values:
            key = freshness_key(self.layout.prefix, self.layout.stream)
            await self._connection.pipelined([("HSET", key, *(part for pair in values.items() for part in pair))])

    async def late(self, now_ms: int) -> int:
        """How many records within the horizon came later than it."""
        last = now_ms // HOUR_MS
        hours = [Pane.late(hour) for hour in range(last - self.layout.generation.horizon_ms // HOUR_MS, last + 1)]
        replies = await self._connection.pipelined([("HMGET", base + EVENTS, *hours) for base in self.layout.bases()])
        return sum(int(count) for counts in replies for count in counts if count)

    async def standing(self) -> Standing:
        """How conditions stand in the shards."""
        return await read_standing(self._connection, self.layout)

    async def dropped(self) -> set[int]:
        """The revisions that must not come back."""
        replies = await self._connection.pipelined([("SMEMBERS", base + DROPPED) for base in self.layout.bases()])
        return {int(revision) for members in replies for revision in members}

    async def _run(self, step: _Step, blobs: Mapping[int, bytes]) -> dict[int, Answer]:
        shards = {self.layout.base(shard): shard for shard in blobs}
        replies = await self._call(step, {base: blobs[shard] for base, shard in shards.items()})
        return {shards[base]: Answer(Found(found.decode()), int(value)) for base, (found, value) in replies.items()}

    async def _counts(self, step: _Step, blob: bytes) -> list[int]:
        replies = await self._call(step, dict.fromkeys(self.layout.bases(), blob))
        return [int(reply) for reply in replies.values()]

    async def _call(self, step: _Step, calls: Mapping[str, bytes]) -> dict[str, Any]:
        with metrics.store_call(SERVICE, step.name):
            return await self._connection.run(step.script, calls)


def _encode(**arguments: Any) -> bytes:
    return msgspec.msgpack.encode(arguments)
