"""Backup and restore: all that is nobody's to rebuild, out of the log and MongoDB into one file, and back."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from archive.control import RawControl
from archive.documents import KEPT, DocumentArchive
from archive.lines import CONTROL, FORMAT, Head, Item, check, document, entry, read, writing
from common.clock import SystemClock
from common.instants import rfc3339_ms
from common.settings import KafkaSettings, MongoSettings

_AT_ONCE: Final = 100


class ArchiveSettings(KafkaSettings, MongoSettings):
    """Where the log and the documents are."""


class Restored(NamedTuple):
    """By what it is counted as: what the archive holds, and how much of it was not there yet."""

    held: Counter[str]
    put: Counter[str]


async def backup(settings: ArchiveSettings, path: Path, version: str) -> Counter[str]:
    """Write everything into `path`, which is replaced once all of it is written; returns what it holds.

    Services may be at work: each entry and document is as it stood at some moment in between.

    Raises:
        TryLater: Kafka or MongoDB is away.
        CannotStart: one of them does not let us in.
    """
    head = Head(archive=FORMAT, version=version, made_at=rfc3339_ms(SystemClock().now_ms()))
    async with _connected(settings) as (control, documents):
        with writing(path, head) as writer:
            for key, value in control.entries().items():
                writer.add(entry(key, value))
            for name in KEPT:
                async for one in documents.read(name):
                    writer.add(document(name, one))
            return writer.held


async def restore(settings: ArchiveSettings, path: Path) -> Restored:
    """Put back what `path` holds and what is not there; what is there stays. Doing it again changes nothing.

    Raises:
        CannotStart: it is no whole archive, or a server does not let us in; nothing was changed.
        TryLater: Kafka or MongoDB is away; some may have been put back.
    """
    held, put = check(path), Counter[str]()
    async with _connected(settings) as (control, documents):
        for lot in _lots(_of(path, CONTROL)):
            put[CONTROL] += await control.put([(item.control or "", item.entry) for item in lot])
        for name in reversed(KEPT):
            for lot in _lots(_of(path, name)):
                put[name] += await documents.put(name, [bytes(item.document).decode() for item in lot])
    return Restored(held, put)


@asynccontextmanager
async def _connected(settings: ArchiveSettings) -> AsyncIterator[tuple[RawControl, DocumentArchive]]:
    control, documents = RawControl(settings), DocumentArchive(settings)
    try:
        await documents.start()
        await control.start()
        yield control, documents
    finally:
        await control.stop()
        await documents.close()


def _of(path: Path, name: str) -> Iterator[Item]:
    return (item for item in read(path) if item.counted_as == name)


def _lots(items: Iterable[Item]) -> Iterator[Sequence[Item]]:
    lot: list[Item] = []
    for item in items:
        lot.append(item)
        if len(lot) == _AT_ONCE:
            yield lot
            lot = []
    if lot:
        yield lot
