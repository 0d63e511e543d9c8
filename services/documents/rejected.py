"""Projects records.rejected into MongoDB, where people look it through: the handler of its batches."""

from collections.abc import Collection, Mapping
from typing import Final

import msgspec
import structlog

from common.contracts import StoredRejected
from common.decoding import UNREADABLE
from common.kafka.batches import Batch, Entry, Handler, Partition
from common.kafka.rejections import read_rejection
from documents.rejected_store import RejectedStore
from documents.store import DocumentStore

log = structlog.get_logger()


class _Named(msgspec.Struct):
    """As much of a record as names it, whatever is wrong with the rest."""

    id: str | int = msgspec.field(name="unique_identifier")


_DECODER: Final = msgspec.json.Decoder(_Named)


class Projection:
    """Keeps what was put aside."""

    def __init__(self, store: DocumentStore, rejected: RejectedStore) -> None:
        self._store = store
        self._rejected = rejected

    async def positions(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        return await self._store.positions(partitions)

    async def apply(self, batch: Batch) -> None:
        """Keep what `batch` holds, and only then move the position.

        Raises:
            TryLater: MongoDB is away; some of the batch may have been kept.
            Reposition: another worker applied it, or MongoDB lost what came before it.
        """
        read = [read_rejected(entry) for entry in batch.entries]
        await self._rejected.keep([one for one in read if one is not None])
        await self._store.move(batch.partition, batch.position, batch.next_position)


class ByTopic:
    """One handler for each topic; all of them keep their positions in the same store."""

    def __init__(self, store: DocumentStore, handlers: Mapping[str, Handler]) -> None:
        self._store = store
        self._handlers = handlers

    async def positions(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        return await self._store.positions(partitions)

    async def apply(self, batch: Batch) -> None:
        await self._handlers[batch.partition.topic].apply(batch)


def read_rejected(entry: Entry) -> StoredRejected | None:
    """A message of records.rejected as it is stored; None for one that none of our services wrote."""
    why = read_rejection(entry.headers)
    if why is None or entry.key is None:
        log.warning("no_rejection", offset=entry.offset)
        return None
    value = entry.value or b""
    return StoredRejected(
        id=entry.key.decode(errors="replace"),
        stream=why.stream,
        code=why.code,
        detail=why.detail,
        rejected_by=why.rejected_by,
        rejected_at=why.rejected_at,
        size=why.size,
        truncated=why.truncated,
        record_id=_record_id(value),
        value=value,
    )


def _record_id(value: bytes) -> str | None:
    try:
        return str(_DECODER.decode(value).id)
    except UNREADABLE:
        return None
