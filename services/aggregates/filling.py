"""What a revision that went live in the middle of the log still lacks, and how records before that are brought in.

Pure but for `fill_batch`. The fill has positions of its own, beside the live ones and in the same shards: it runs in
its own lane, resumes where it stood, and may repeat itself.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from aggregates.changes import Item, by_shard, lua_string
from aggregates.revisions import Revisions
from aggregates.store import Found, WindowStore
from common.contracts import version_of
from common.errors import Reposition
from windows.layout import pack_version
from windows.standing import Standing


class Gap(NamedTuple):
    """Offsets of a partition, from `start` on and before `stop`, that `revisions` have not seen in every shard."""

    partition: int
    start: int
    stop: int
    revisions: tuple[int, ...]


def gaps(standing: Standing, wanted: Iterable[int], partitions: Collection[int]) -> list[Gap]:
    """What is still to be filled of `partitions`; a revision that is not live in every shard is not begun."""
    found = []
    for partition in sorted(partitions):
        lacking = [n for n in wanted if _lacks(standing, n, partition)]
        if lacking:
            keys = [(n, partition) for n in lacking]
            start = min(shard.filled.get(key, 0) for shard in standing.shards for key in keys)
            stop = max(shard.live[key] for shard in standing.shards for key in keys)
            found.append(Gap(partition, start, stop, tuple(lacking)))
    return found


def _lacks(standing: Standing, revision: int, partition: int) -> bool:
    missing = [shard.missing(revision, partition) for shard in standing.shards]
    return None not in missing and any(missing)


async def fill_batch(
    store: WindowStore, revisions: Revisions, gap: Gap, items: Iterable[Item], next_position: int
) -> None:
    """Bring `items`, read from `gap.start` on and up to `next_position`, into the revisions of `gap`.

    Raises:
        TryLater: Redis is away.
        Reposition: a shard lost what was filled, or dropped a revision: look for gaps anew.
    """
    only = revisions.only(gap.revisions)
    shards = by_shard(store.layout, items)
    blobs = {n: _pack(items, only, gap, next_position) for n, items in enumerate(shards)}
    answers = await store.fill(blobs)
    for n, answer in answers.items():
        if answer.found is not Found.FILLED:
            raise Reposition(f"shard {n} answers {answer.found} {answer.value} to the fill of {gap}")


def _pack(items: Sequence[Item], revisions: Revisions, gap: Gap, next_position: int) -> bytes:
    """The arguments of fill.lua: only what holds is sent."""
    joins = [
        (content.id, lua_string(pack_version(version_of(content))), content.event_time, revision)
        for _, content in items
        if not isinstance(content, str)
        for revision in revisions.compiled.match(content).held
    ]
    columns: Mapping[str, Sequence[object]] = {
        name: [join[n] for join in joins] for n, name in enumerate(("ids", "versions", "times", "revision"))
    }
    return msgspec.msgpack.encode(
        {
            "partition": gap.partition,
            "expected": gap.start,
            "next": next_position,
            "revisions": list(gap.revisions),
            "per_a": revisions.per_a,
            **columns,
        }
    )
