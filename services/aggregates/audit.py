"""Whether the windows say what the log and the documents say: a sample of ids, looked at from all sides.

From the log: a stretch of records; the windows must know each id in at least that version, and where it is the newest,
hold it under exactly the parent and the conditions that the record has. From the windows: ids drawn from every set; the
head must agree with each set that it is in. From the documents: see `audit_documents`. An id that is found wanting is
looked at again a moment later, since records come meanwhile; what is wrong then is drift.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from aggregates.audit_documents import AgainstDocuments, Audited
from aggregates.changes import Item, read
from aggregates.inspection import Inspector
from aggregates.revisions import Revisions
from aggregates.store import WindowStore
from aggregates.verdicts import inward, outward
from auditing.documents import Documents
from auditing.report import Compared, tell
from common import metrics
from common.clock import Clock
from common.contracts import RECORDS, Record, version_of
from common.kafka.batches import Partition
from common.kafka.replay import Replay
from windows.connection import Connection
from windows.layout import Layout

_SAMPLE: Final = 500
_SCANNED: Final = 5_000
_AGAIN_AFTER_S: Final = 2.0


class Place(NamedTuple):
    """A stretch of a partition: from where it ends to the end of what is counted."""

    partition: Partition
    behind: int
    end: int


class Logged(NamedTuple):
    """A record, and the stretch of the log that it was found in."""

    record: Record
    place: Place


class Audit:
    """Compares one stream's windows with its log and its documents."""

    def __init__(
        self, connection: Connection, layout: Layout, *, replay: Replay, clock: Clock, chance: random.Random
    ) -> None:
        self._inspector = Inspector(connection, layout)
        self._store = WindowStore(connection, layout)
        self._against_documents = AgainstDocuments(connection, layout, clock)
        self._layout = layout
        self._replay = replay
        self._clock = clock
        self._chance = chance

    async def run(self, revisions: Revisions, documents: Documents | None = None) -> Audited:
        """Look at a sample of ids; with `documents` left out, beside the log alone.

        Raises:
            TryLater: Redis, Kafka or MongoDB is away.
        """
        whole = (await self._store.standing()).whole()
        revisions = revisions.only(whole)
        names = {n: condition.name for n, condition in revisions.conditions.items()}
        logged = await self._from_the_log()
        records = {id_: one.record for id_, one in logged.items()}
        drawn = await self._inspector.some(_SAMPLE, names)
        wrong = await self._look(list({*records, *drawn}), records, revisions, names)
        if wrong:
            await asyncio.sleep(_AGAIN_AFTER_S)
            wrong = await self._look(list(wrong), records, revisions, names)
            erased = await self._erased_since({logged[id_].place for id_ in wrong if id_ in logged})
            wrong = {id_: fault for id_, fault in wrong.items() if id_ not in erased}
        self._replay.rest()
        result = self._told("windows and log", Audited(len({*records, *drawn}), wrong))
        if documents is not None:
            beside = await self._against_documents.run(documents, drawn, revisions)
            self._told("windows and documents", beside)
            result = Audited(result.ids + beside.ids, {**beside.drift, **wrong}, beside.left_out)
        metrics.AUDITED.labels(self._layout.stream).inc(result.ids)
        metrics.DRIFT.labels(self._layout.stream).set(len(result.drift))
        return result

    def _told(self, between: str, found: Audited) -> Audited:
        tell(Compared(self._layout.stream, between, found.ids, drift=found.drift, left_out=found.left_out))
        return found

    async def _from_the_log(self) -> dict[str, Logged]:
        """The newest version of each id in a stretch of the log that is counted, at a place left to chance."""
        stream = self._layout.stream
        found: dict[str, Logged] = {}
        for number, position in (await self._store.positions(range(self._layout.generation.partitions))).items():
            partition = Partition(RECORDS[stream], number)
            oldest_ms = self._clock.now_ms() - self._layout.generation.horizon_ms
            first = await self._replay.first_since(partition, oldest_ms)
            start = self._chance.randint(first, max(first, position - _SAMPLE))
            if start < position:
                entries = await self._replay.read(partition, start, min(_SAMPLE, position - start))
                _take(found, read(stream, entries)[0], Place(partition, start + _SAMPLE, position))
        return found

    async def _erased_since(self, places: set[Place]) -> set[str]:
        """The ids that tombstones erased behind `places`."""
        erased: set[str] = set()
        for partition, start, end in places:
            at = start
            while at < end and (entries := await self._replay.read(partition, at, _SCANNED)):
                erased |= {(entry.key or b"").decode(errors="replace") for entry in entries if entry.value is None}
                at = entries[-1].offset + 1
        return erased

    async def _look(
        self, ids: Sequence[str], records: Mapping[str, Record], revisions: Revisions, names: dict[int, str]
    ) -> dict[str, str]:
        seen = await self._inspector.see(ids, names)
        # Ids on the verge of leaving the horizon are being trimmed.
        verge_ms = self._clock.now_ms() - self._layout.generation.horizon_ms
        return {
            id_: fault
            for id_, one in seen.items()
            if (fault := inward(one, names) or outward(one, records.get(id_), revisions, verge_ms, "the log has"))
        }


def _take(found: dict[str, Logged], items: Sequence[Item], place: Place) -> None:
    """Keep the newest version of each id; one that a tombstone follows is none."""
    for _, content in items:
        if isinstance(content, str):
            found.pop(content, None)
        elif content.id not in found or version_of(content) > version_of(found[content.id].record):
            found[content.id] = Logged(content, place)
