"""Keeps the newest version of every record in MongoDB: the handler of a batch."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from common import metrics
from common.clock import Clock
from common.contracts import RECORDS, Stream
from common.kafka.batches import Batch, Partition
from common.kafka.rejections import Refusal, Rejections, put_aside
from documents.erasures import Erasure
from documents.failures import SERVICE
from documents.rejected_store import RejectedStore
from documents.store import DocumentStore
from documents.versions import Changes, Upsert, fold

_STREAMS: Final = {topic: stream for stream, topic in RECORDS.items()}
_AGES_PER_BATCH: Final = 100


class Worker:
    """Applies batches: all of them any number of times, in any cut and in any order that ends with the newest."""

    def __init__(self, store: DocumentStore, rejected: RejectedStore, rejections: Rejections, clock: Clock) -> None:
        self._store = store
        self._rejected = rejected
        self._rejections = rejections
        self._clock = clock

    async def positions(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        return await self._store.positions(partitions)

    async def apply(self, batch: Batch) -> None:
        """Store what `batch` says, put aside what cannot be stored, and only then move the position.

        Raises:
            TryLater: MongoDB or Kafka is away; some of the batch may have been applied.
            Reposition: another worker applied it, or MongoDB lost what came before it.
        """
        stream = _STREAMS[batch.partition.topic]
        changes = fold(stream, batch.entries)
        writing = await self._store.writing(batch.partition)
        if changes.erased:
            await self._store.erase(stream, changes.erased, self._clock.now_ms(), writing.generations)
            at = changes.erased_at
            await self._rejected.erase(stream, {id_: Erasure(end, at[id_]) for id_, end in changes.erased.items()})
        refused = await self._store.upsert(stream, list(changes.upserts.values()), writing.generations)
        refusals = changes.refusals + [Refusal(one.entry, "refused_by_store", detail) for one, detail in refused]
        # After the writes: while MongoDB is away the batch comes again and again, and each time would put them aside.
        await self._put_aside(batch.partition, stream, refusals)
        await self._store.move(batch.partition, batch.position, batch.next_position, writing)
        self._count(stream, changes, len(refused))

    async def _put_aside(self, partition: Partition, stream: Stream, refusals: Sequence[Refusal]) -> None:
        now_ms = self._clock.now_ms()
        await self._rejections.put(
            [put_aside(refusal, partition, stream, service=SERVICE, now_ms=now_ms) for refusal in refusals]
        )

    def _count(self, stream: Stream, changes: Changes, refused: int) -> None:
        outcomes = {
            "applied": len(changes.upserts) - refused,
            "folded": changes.folded,
            "erased": changes.tombstones,
            "rejected": len(changes.refusals) + refused,
        }
        for outcome, count in outcomes.items():
            metrics.APPLIED.labels(SERVICE, stream, outcome).inc(count)
        self._observe_ages(stream, list(changes.upserts.values()))

    def _observe_ages(self, stream: Stream, upserts: Sequence[Upsert]) -> None:
        """Observe an even sample: each by itself would cost more than its decoding."""
        now_us, age = self._clock.now_us(), metrics.RECORD_AGE.labels(SERVICE, stream)
        for upsert in upserts[:: 1 + len(upserts) // _AGES_PER_BATCH]:
            age.observe(max(0, now_us - upsert.record.ingested_at) / 1_000_000)
