"""Claims on what a rebuild brings out of the log: all of it, however slow the log, whenever the workers write."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from common.clock import ManualClock
from common.contracts import RecordA, Stream
from common.errors import CannotStart, TryLater
from common.kafka import history
from common.kafka.batches import Partition
from documents.generations import Claim
from documents.rebuild import Rebuild
from documents.versions import Upsert, fold

PARTITION = Partition("records.a", 0)


@dataclass
class Message:
    """One of the log; `text` None is a tombstone."""

    offset: int
    id: str
    text: str | None
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes]] = ()

    @property
    def key(self) -> bytes:
        return self.id.encode()

    @property
    def value(self) -> bytes | None:
        if self.text is None:
            return None
        at = self.offset + 1
        return msgspec.json.encode(RecordA(id=self.id, number=1.0, text=self.text, event_time=at, ingested_at=at))


def log_of(*said: tuple[str, str | None]) -> list[Message]:
    return [Message(offset, id_, text) for offset, (id_, text) in enumerate(said)]


class Store:
    """The next generation, by the rules of `documents.writes`: id → text, and id → what was erased through where."""

    database: Mapping[str, Any] = {"generations": None, "positions": None}

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.versions: dict[str, tuple[int, ...]] = {}
        self.through: dict[str, int] = {}

    async def erase(self, _stream: Stream, ids: Mapping[str, int], _now_ms: int, _into: Sequence[int]) -> None:
        for id_, offset in ids.items():
            if self.through.get(id_, -1) < offset:
                self.through[id_] = offset
                self.texts.pop(id_, None)
                self.versions.pop(id_, None)

    async def upsert(self, _stream: Stream, upserts: Sequence[Upsert], _into: Sequence[int] = (1,)) -> None:
        for record, version, _, entry in upserts:
            if entry.offset >= self.through.get(record.id, -1) and version > self.versions.get(record.id, ()):
                self.texts[record.id], self.versions[record.id] = record.text, version


class Log:
    """Gives two messages at once, and none to the first `silent` readings."""

    def __init__(self, messages: Sequence[Message], silent: int = 0, oldest: int = 0) -> None:
        self._messages, self._silent, self._oldest = messages, silent, oldest

    async def read(self, _partition: Partition, start: int, _max_records: int) -> Sequence[Message]:
        if self._silent:
            self._silent -= 1
            return []
        return self._messages[max(start, self._oldest) :][:2]

    async def bounds(self, _partition: Partition) -> tuple[int, int]:
        return self._oldest, len(self._messages)


class Generations:
    """Keeps what was noted, and what was done."""

    def __init__(self, end: int = 0) -> None:
        self.noted: dict[int, int] = {}
        self.done: list[str] = []
        self._end = end

    async def claim(self) -> Claim:
        return FRESH

    async def begin(self, _claim: Claim) -> None:
        self.done.append("begun")

    async def tell(self, _claim: Claim) -> list[int]:
        self.done.append("told")
        return [self._end]

    async def write_only(self, number: int) -> None:
        self.done.append(f"written {number}")

    async def delete(self, number: int) -> None:
        self.done.append(f"deleted {number}")

    async def release(self) -> None:
        self.done.append("released")

    async def filled(self, partition: int, offset: int) -> None:
        self.noted[partition] = offset

    async def keep(self) -> None:
        """The lease is not looked at here."""


async def filled(store: Store, log: Log, end: int, claim: Claim) -> Generations:
    rebuild = Rebuild(store, Stream.A, 1, replay=log, clock=ManualClock(0))
    rebuild._generations = Generations()
    await rebuild._fill(claim, PARTITION, end, asyncio.Event())
    return rebuild._generations


FRESH = Claim(0, 1, is_resumed=False, filled={}, former=None)


async def test_a_tombstone_takes_nothing_that_was_sent_after_it() -> None:
    """The workers write what follows the rebuild's beginning before the fill comes to what stands before it."""
    said = log_of(("x", "old"), ("x", None), ("y", "y"), ("x", "again"), ("z", "z"), ("y", None))
    store, end = Store(), 3
    live = fold(Stream.A, said[end:5])
    await store.upsert(Stream.A, list(live.upserts.values()))
    await filled(store, Log(said[:5]), end, FRESH)
    assert store.texts == {"x": "again", "y": "y", "z": "z"}


async def test_nor_does_one_of_an_attempt_that_was_killed() -> None:
    """What that one had erased, nobody noted: all that follows is brought again."""
    said = log_of(("x", "old"), ("x", None), ("x", "again"))
    store, end = Store(), 2
    await store.erase(Stream.A, {"x": 1}, 0, [1])
    await filled(store, Log(said), end, Claim(0, 1, is_resumed=True, filled={0: end}, former=None))
    assert store.texts == {"x": "again"}


async def test_a_later_tombstone_holds() -> None:
    """Erased, sent again and erased again is erased."""
    said = log_of(("x", "old"), ("x", None), ("x", "again"), ("x", None))
    store = Store()
    await store.erase(Stream.A, {"x": 3}, 0, [1])
    await filled(store, Log(said), 2, FRESH)
    assert store.texts == {}


async def test_a_log_that_is_slow_to_answer_is_waited_for() -> None:
    """A reading that brings nothing is not the end: what is left would be missing once the documents are switched."""
    store = Store()
    noted = await filled(store, Log(log_of(("x", "x"), ("y", "y"), ("z", "z")), silent=history._PATIENCE), 3, FRESH)
    assert (store.texts.keys(), noted.noted) == ({"x", "y", "z"}, {0: 3})


async def test_one_that_stopped_answering_ends_the_attempt() -> None:
    """The old documents stay in force."""
    with pytest.raises(TryLater, match="stopped answering at 0"):
        await filled(Store(), Log(log_of(("x", "x")), silent=1_000), 1, FRESH)


@pytest.mark.parametrize(
    ("log", "end"), [(Log([], oldest=0), 2), (Log(log_of(("x", "x"), ("y", "y")), silent=1_000, oldest=2), 2)]
)
async def test_what_the_log_no_longer_holds_is_not_waited_for(log: Log, end: int) -> None:
    """It was made anew, or retention took everything."""
    store = Store()
    await filled(store, log, end, FRESH)
    assert store.texts == {}


async def test_a_log_that_was_made_anew_empties_no_documents() -> None:
    """It ends before what they hold already: they stay in force, and no trace is left."""
    rebuild = Rebuild(Store(), Stream.A, 1, replay=Log(log_of(("x", "x"))), clock=ManualClock(0))
    rebuild._generations = generations = Generations(end=7)
    with pytest.raises(CannotStart, match="ends at 1, they are at 7"):
        await rebuild.run(asyncio.Event())
    assert generations.done == ["begun", "told", "written 0", "deleted 1", "released"]
