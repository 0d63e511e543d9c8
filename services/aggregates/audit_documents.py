"""Whether the windows say what the documents say, of ids drawn from the windows and of the B that their A have.

Two stores that follow the log are seldom at the same place in it. So a document counts against the windows only where
they must know of it: where all that was in the log when it was read is counted by now, and where it still is there
though the documents have passed every erasure that the windows know of.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from aggregates.inspection import Inspector
from aggregates.revisions import Revisions
from aggregates.store import WindowStore
from aggregates.verdicts import outward
from auditing.documents import Documents
from common.clock import Clock
from common.contracts import Record, Stream
from windows.connection import Connection
from windows.counts import Counts
from windows.layout import Layout
from windows.questions import Question, Window

_PARENTS: Final = 50
_CHILDREN: Final = 20
_AGAIN_AFTER_S: Final = 2.0


class Audited(NamedTuple):
    """How many ids were looked at, and what is wrong with those that are wrong."""

    ids: int
    drift: Mapping[str, str]
    left_out: str | None = None
    """Why some could not be compared."""


class AgainstDocuments:
    """Compares one stream's windows with its documents."""

    def __init__(self, connection: Connection, layout: Layout, clock: Clock) -> None:
        self._inspector = Inspector(connection, layout)
        self._store = WindowStore(connection, layout)
        self._counts = Counts(connection, layout.prefix, clock)
        self._layout = layout
        self._clock = clock

    async def run(self, documents: Documents, drawn: Sequence[str], revisions: Revisions) -> Audited:
        """Look at the documents of `drawn`, and at those of their A.

        Raises:
            TryLater: Redis or MongoDB is away.
        """
        records = await self._read(documents, drawn)
        read_ms = self._clock.now_ms()
        wrong = await self._look(records, revisions)
        if wrong:
            await asyncio.sleep(_AGAIN_AFTER_S)
            wrong = await self._look({id_: records[id_] for id_ in wrong}, revisions)
        if wrong and not await self._is_counted(read_ms):
            return Audited(len(records) - len(wrong), {}, "the windows lag")
        if wrong and await self._are_behind(documents):
            return Audited(len(records) - len(wrong), {}, "the documents lag")
        there = await documents.find(wrong) if wrong else {}
        return Audited(len(records), {id_: fault for id_, fault in wrong.items() if id_ in there})

    async def _read(self, documents: Documents, drawn: Sequence[str]) -> dict[str, Record]:
        records = await documents.find(drawn)
        if self._layout.stream is Stream.B:
            parents = sorted({getattr(record, "a_id", "") for record in records.values()})
            some = parents[:: 1 + len(parents) // _PARENTS]
            records |= await documents.newest_of(some, _CHILDREN)
        return records

    async def _look(self, records: Mapping[str, Record], revisions: Revisions) -> dict[str, str]:
        seen = await self._inspector.see(list(records), {})
        verge_ms = self._clock.now_ms() - self._layout.generation.horizon_ms
        return {
            id_: fault
            for id_, record in records.items()
            if (fault := outward(seen[id_], record, revisions, verge_ms, "the documents have"))
        }

    async def _is_counted(self, read_ms: int) -> bool:
        """Whether the windows know all that was in the log then."""
        counted = await self._counts.ask([Question(self._layout.stream, Window(read_ms))])
        as_of_ms = counted.freshness[self._layout.stream].as_of_ms
        return as_of_ms is not None and as_of_ms >= read_ms

    async def _are_behind(self, documents: Documents) -> bool:
        """Whether the windows may know of an erasure that the documents have not come to."""
        partitions = self._layout.generation.partitions
        windows = await self._store.positions(range(partitions))
        stored = await documents.positions(partitions)
        return any(stored[number] < position for number, position in windows.items())
