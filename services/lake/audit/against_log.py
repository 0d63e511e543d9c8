"""The log table beside the log: no message twice, and a stretch of each partition message by message."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any

from auditing.report import Compared
from common.contracts import RECORDS
from common.kafka.batches import Entry, Partition
from common.kafka.replay import Replay
from lake.audit.since import pages
from lake.audit.state import LakeState, Written
from lake.writer.rows import read


class AgainstLog:
    """Compares one stream's log table with its topic."""

    def __init__(self, state: LakeState, replay: Replay, chance: random.Random) -> None:
        self._state = state
        self._replay = replay
        self._chance = chance

    async def run(self, written: Mapping[int, Written], count: int) -> Compared:
        """Look at about `count` messages, at places left to chance.

        Raises:
            TryLater: Kafka or the lake is away.
        """
        drift = {f"partition {number}": fault for number, one in written.items() if (fault := self._whole(number, one))}
        looked_at = 0
        for number, position in self._state.positions.items():
            partition = Partition(RECORDS[self._state.stream], number)
            first, end = await self._replay.bounds(partition)
            each = max(1, count // len(self._state.positions))
            start = self._chance.randint(first, max(first, min(position, end) - each))
            end = min(start + each, position, end)
            entries = [entry async for some in pages(self._replay, partition, start, end) for entry in some]
            looked_at += len(entries)
            drift |= await self._compare(partition, entries, start, end)
        return Compared(self._state.stream, "lake and log", looked_at, "messages", drift)

    def _whole(self, number: int, written: Written) -> str | None:
        """What can be wrong with all of a partition."""
        if written.doubled:
            return f"{written.doubled} messages are in the table more than once"
        position = self._state.positions.get(number, 0)
        return None if written.last < position else f"it is said to be in up to {position}, and is up to {written.last}"

    async def _compare(self, partition: Partition, entries: Sequence[Entry], start: int, end: int) -> dict[str, str]:
        expected = {
            row["kafka_offset"]: row for row in read(self._state.stream, partition.number, entries).batch.to_pylist()
        }
        found = await asyncio.to_thread(self._state.messages, partition.number, start, end)
        missing = {offset: row["unique_identifier"] for offset, row in expected.items() if offset not in found}
        # What a tombstone makes void leaves the table at the next compaction, the tombstone itself later.
        void = await self._erased(partition, start) if missing else {}
        faults = {offset: "the lake has no such row" for offset, id_ in missing.items() if void.get(id_, -1) < offset}
        faults |= dict.fromkeys(found.keys() - expected.keys(), "the log has no such record")
        for offset in found.keys() & expected.keys():
            if fault := _differing(found[offset], expected[offset]):
                faults[offset] = fault
        return {f"{partition.topic}/{partition.number}/{offset}": fault for offset, fault in faults.items()}

    async def _erased(self, partition: Partition, start: int) -> dict[str, int]:
        """The last tombstone of each id that has one from `start` on."""
        last: dict[str, int] = {}
        async for entries in pages(self._replay, partition, start, self._state.positions[partition.number]):
            last |= {(one.key or b"").decode(errors="replace"): one.offset for one in entries if one.value is None}
        return last


def _differing(found: Mapping[str, Any], expected: Mapping[str, Any]) -> str | None:
    names = [name for name in expected if found.get(name) != expected[name]]
    return f"{', '.join(names)}: others than in the log" if names else None
