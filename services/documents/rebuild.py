"""Fills fresh collections of documents from the log while the old ones serve, compares, switches, deletes the old ones.

`python -m documents.rebuild`. Killed, it goes on from where it was when it is started again; stopped, it leaves no
trace. What Kafka no longer holds, for retention took it, is read from the lake where it is asked to, and what is not
there either is carried over from the old collection. Documents of which more are missing than
TWINSTREAM_REBUILD_MISSING_PERCENT allows do not take the place of the old ones.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, NamedTuple

import structlog

from common.clock import Clock, SystemClock
from common.concurrency import all_of
from common.contracts import DAY_MS, GENERATION_KEPT_S, RECORDS, RecordA, RecordB, Stream, Version, partition_of
from common.errors import CannotStart, Refused, TryLater
from common.kafka.batches import Entry, Partition
from common.kafka.history import History, Past
from common.kafka.replay import Replay
from common.kafka.topics import count_partitions
from common.process import main
from documents.comparison import Compared, compare
from documents.generations import Claim, Generations
from documents.settings import MISSING_PERCENT, DocumentsRebuildSettings
from documents.store import DocumentStore
from documents.versions import Upsert, fold
from twinstream_lake.sources import past_of

log = structlog.get_logger()


class _Carried(NamedTuple):
    """Stands for the message that an old document came in: before every tombstone that the log still holds."""

    offset: int = -1
    key: bytes | None = None
    value: bytes | None = None
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes]] = ()


class Rebuild:
    """The rebuild of one stream's documents."""

    def __init__(  # noqa: PLR0913  # by name, each once, from `run`
        self,
        store: DocumentStore,
        stream: Stream,
        partitions: int,
        *,
        replay: Replay,
        clock: Clock,
        past: Past | None = None,
        kept_s: float = GENERATION_KEPT_S,
        missing_percent: float = MISSING_PERCENT,
    ) -> None:
        """`missing_percent` of the old documents may be missing in the new ones, that these take their place."""
        self._store = store
        self._stream = stream
        self._partitions = [Partition(RECORDS[stream], number) for number in range(partitions)]
        self._generations = Generations(store, stream, partitions, clock, "log" if past is None else "lake")
        self._replay = replay
        self._history = History(replay, past)
        self._kept_s = kept_s
        self._missing_percent = missing_percent

    async def run(self, stop: asyncio.Event) -> Compared | None:
        """Rebuild, unless `stop` is set before the switch: then the old documents stay in force, and None is returned.

        Raises:
            CannotStart: another rebuild runs, or the log was made anew and knows less than the documents.
            Refused: too_many_missing; more old documents than may be are missing in the new ones. No trace is left.
            TryLater: MongoDB or Kafka went away; the old documents stay in force, and a new start goes on from there.
        """
        for partition in self._partitions:
            await self._history.check(partition)
        claim = await self._generations.claim()
        try:
            if claim.former is not None:
                await self._retire(claim.number, claim.former)
            return await self._rebuild(claim, stop)
        finally:
            with suppress(TryLater):  # then the lease ends by itself
                await self._generations.release()

    async def _rebuild(self, claim: Claim, stop: asyncio.Event) -> Compared | None:
        await self._generations.begin(claim)
        ends = await self._generations.tell(claim)
        if short := await self._shorter_than(ends):
            await self._give_up(claim)
            raise CannotStart(f"The log was made anew, and would empty the documents: {short}. They stay as they are.")
        for partition, end in zip(self._partitions, ends, strict=True):
            await self._fill(claim, partition, end, stop)
        await self._carry_over(claim, stop)
        if stop.is_set():
            await self._give_up(claim)
            return None
        compared = await compare(self._generations, claim.number, claim.next)
        if compared.missing_percent > self._missing_percent:
            await self._give_up(claim)
            raise Refused("too_many_missing", self._held_back(compared))
        await self._generations.switch(claim)
        log.info("switched", stream=self._stream, number=claim.next)
        await self._retire(claim.next, claim.number)
        return compared

    async def _shorter_than(self, ends: Sequence[int]) -> str:
        """Where the log ends before `ends`, up to which the documents have it; empty when it nowhere does."""
        found = []
        for partition, end in zip(self._partitions, ends, strict=True):
            _, next_offset = await self._replay.bounds(partition)
            if next_offset < end:
                found.append(f"{partition.topic}/{partition.number} ends at {next_offset}, they are at {end}")
        return "; ".join(found)

    def _held_back(self, compared: Compared) -> str:
        missing, percent = compared.missing, f"{compared.missing_percent:.3g} %"
        some = ", ".join(map(repr, missing.named[:3]))
        return (
            f"{missing.count:,} of {compared.old:,} documents of stream {self._stream.upper()} ({percent}) are missing "
            f"in the new ones, such as {some}; {self._missing_percent:g} % may be. The old ones stay in force. If what "
            "is missing is to go, force it."
        )

    async def _give_up(self, claim: Claim) -> None:
        """Leave no trace."""
        await self._generations.write_only(claim.number)
        await self._generations.delete(claim.next)

    async def _retire(self, number: int, former: int) -> None:
        """Delete the former documents, once nobody can be reading or writing there any more."""
        await self._keep_for(self._kept_s)
        await self._generations.write_only(number)
        await self._keep_for(self._kept_s)
        await self._generations.delete(former)
        log.info("deleted", stream=self._stream, number=former)

    async def _keep_for(self, seconds: float) -> None:
        await self._generations.keep()
        await asyncio.sleep(seconds)
        await self._generations.keep()

    async def _fill(self, claim: Claim, partition: Partition, end: int, stop: asyncio.Event) -> None:
        """Bring what the log holds before `end` into the next generation; what follows, the workers bring there.

        Of that they may find less in Kafka than the lake has, where they have yet to begin.
        """
        at, erased = claim.filled.get(partition.number, 0), set[str]()
        async for entries in self._history.read(partition, at, max(end, self._history.kept(partition)), stop):
            erased |= await self._bring(claim, entries)
            at = entries[-1].offset + 1
            await self._generations.filled(partition.number, at)
        if erased or claim.is_resumed:
            await self._bring_again(claim, partition, end, None if claim.is_resumed else erased, stop)
        log.info("partition_filled", topic=partition.topic, partition=partition.number, position=at, end=end)

    async def _bring_again(
        self, claim: Claim, partition: Partition, start: int, ids: Collection[str] | None, stop: asyncio.Event
    ) -> None:
        """Bring what the log holds of `ids` from `start` on; of all where it is unknown what a killed attempt erased.

        A worker may have brought it before the fill came to an earlier tombstone of the id, and erased it.
        """
        _, end = await self._replay.bounds(partition)
        keys = None if ids is None else {id_.encode() for id_ in ids}
        async for entries in self._history.read(partition, start, end, stop):
            await self._bring(claim, [one for one in entries if keys is None or one.key in keys])
            await self._generations.keep()

    async def _bring(self, claim: Claim, entries: Sequence[Entry]) -> set[str]:
        """Write what `entries` say into the next generation; returns the ids that they erase."""
        changes, into = fold(self._stream, entries), [claim.next]
        if changes.erased:
            await self._store.erase(self._stream, changes.erased, max(one.timestamp for one in entries), into)
        await self._store.upsert(self._stream, list(changes.upserts.values()), into)
        return set(changes.erased)

    async def _carry_over(self, claim: Claim, stop: asyncio.Event) -> None:
        """Take from the old documents what retention took from the log: whole ids, and when ids were first seen."""
        reach = await self._reach()
        if not reach:
            return
        carried = 0
        async for page in self._generations.pages(claim.number):
            if stop.is_set():
                return
            mine = {one["_id"]: one for one in page if self._partition_of(one["_id"]) in reach}
            older = [one for id_, one in mine.items() if one["ingested_at"] < reach[self._partition_of(id_)]]
            await self._store.upsert(self._stream, [_upsert_of(self._stream, one) for one in older], [claim.next])
            await self._generations.lower_first_seen(claim.next, {id_: one["first_seen"] for id_, one in mine.items()})
            await self._generations.keep()
            carried += len(older)
        log.info("carried_over", stream=self._stream, documents=carried)

    async def _reach(self) -> dict[int, float]:
        """For partitions whose beginning is gone: the ingestion (µs) up to which a record may be gone with it.

        A day later than the oldest record that is left: a request that is repeated under its idempotency key writes
        records with the stamp of the first attempt.
        """
        reach: dict[int, float] = {}
        for partition in self._partitions:
            start, oldest = await self._history.begin(partition)
            if start > 0:
                reach[partition.number] = (oldest.timestamp + DAY_MS) * 1000 if oldest else float("inf")
        return reach

    def _partition_of(self, record_id: str) -> int:
        return partition_of(record_id.encode(), len(self._partitions))


def _upsert_of(stream: Stream, document: Mapping[str, Any]) -> Upsert:
    fields = {name: document[name] for name in ("number", "text", "event_time", "ingested_at")}
    fields["id"] = document["_id"]
    record = RecordB(**fields, a_id=document["a_id"]) if stream is Stream.B else RecordA(**fields)
    version = Version(document["event_time"], document["ingested_at"], document["content_hash"])
    return Upsert(record, version, document["first_seen"], _Carried())


async def run(settings: DocumentsRebuildSettings, stop: asyncio.Event) -> None:
    """Rebuild both streams at once: most of it is waiting."""
    async with AsyncExitStack() as stack:
        store = DocumentStore(settings)
        stack.push_async_callback(store.close)
        await all_of([_rebuild(settings, store, stream, stack, stop) for stream in Stream])


async def _rebuild(
    settings: DocumentsRebuildSettings, store: DocumentStore, stream: Stream, stack: AsyncExitStack, stop: asyncio.Event
) -> None:
    replay = Replay(settings)
    stack.push_async_callback(replay.stop)
    await replay.start()
    partitions = await count_partitions(settings, RECORDS[stream])
    rebuild = Rebuild(
        store,
        stream,
        partitions,
        replay=replay,
        clock=SystemClock(),
        past=await past_of(settings, stream, stack),
        missing_percent=settings.rebuild_missing_percent,
    )
    compared = await rebuild.run(stop)
    if compared is None:
        log.info("given_up", stream=stream, detail="stopped before the switch: the old documents stay in force")
    else:
        log.info(
            "compared",
            stream=stream,
            old=compared.old,
            new=compared.new,
            missing=compared.missing.count,
            different=compared.different.count,
            examples=[*compared.missing.named[:5], *compared.different.named[:5]],
        )


if __name__ == "__main__":
    main("rebuild", DocumentsRebuildSettings, run)
