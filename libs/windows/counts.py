"""Reading the windows: any number of questions in one round trip."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from common.clock import Clock
from common.contracts import RECORDS, Stream
from common.errors import TryLater
from windows.connection import Connection
from windows.layout import POSITIONS, Generation, Layout, freshness_key, generation_key
from windows.questions import Question, commands, spread, total
from windows.standing import Standing, pairs, read_standing

KNOWN_FOR_S: Final = 1.0
"""How long what changes by hand only is believed; what it names stays at least ten times as long (`LINGER_S`)."""

LINGER_S: Final = 10.0
"""How long a generation or revision that is replaced goes on existing."""

LATE: Final = b"late"
"""In the freshness hash, beside the partitions: records within the horizon that came too late to be counted."""


_STREAM_OF: Final = {topic: stream for stream, topic in RECORDS.items()}


@dataclass(frozen=True)
class Known:
    """A stream's layout and how its conditions stand."""

    layout: Layout
    standing: Standing
    until: float  # loop time


class Freshness(NamedTuple):
    """Up to when a stream is counted."""

    as_of_ms: int | None
    """Everything that was in the log then is counted; None while no worker has told of every partition."""
    late: int

    def lag_s(self, now_ms: int) -> float | None:
        """How long ago that was, in seconds."""
        return None if self.as_of_ms is None else max(0, now_ms - self.as_of_ms) / 1000


class Counted(NamedTuple):
    """The counts asked for, in their order, and how fresh each stream among them is."""

    counts: list[int]
    freshness: Mapping[Stream, Freshness]


class Counts:
    """Asks the windows."""

    def __init__(self, connection: Connection, prefix: str, clock: Clock) -> None:
        self._connection = connection
        self._prefix = prefix
        self._clock = clock
        self._known: dict[Stream, Known] = {}
        self._refreshing = {stream: asyncio.Lock() for stream in Stream}

    async def known(self, stream: Stream) -> Known:
        """The layout in force and how conditions stand, at most a second old.

        Raises:
            TryLater: Redis is away, or there are no windows yet.
        """
        now = asyncio.get_running_loop().time
        known = self._known.get(stream)
        if known is None or known.until < now():
            async with self._refreshing[stream]:
                known = self._known.get(stream)
                if known is None or known.until < now():
                    known = self._known[stream] = await self._read_known(stream, now)
        return known

    async def ask(self, questions: Sequence[Question]) -> Counted:
        """Answer all of `questions` in one round trip.

        Raises:
            TryLater: Redis is away, or there are no windows yet.
        """
        now_ms = self._clock.now_ms()
        known = {stream: await self.known(stream) for stream in {question.stream for question in questions}}
        sent = [commands(known[question.stream].layout, question, now_ms) for question in questions]
        freshness = [("HGETALL", freshness_key(self._prefix, stream)) for stream in known]
        replies = await self._connection.pipelined([*(one for run in sent for one in run), *freshness])
        answers = spread([len(run) for run in sent], replies)
        hashes = replies[len(replies) - len(freshness) :]
        return Counted(
            [total(question, answer) for question, answer in zip(questions, answers, strict=True)],
            {s: _freshness(known[s].layout, pairs(reply)) for s, reply in zip(known, hashes, strict=True)},
        )

    async def positions(self, names: Collection[str]) -> dict[str, int]:
        """The next offset of each partition by its `position_id`: every record before it is counted.

        Raises:
            TryLater: Redis is away, or there are no windows yet.
        """
        partitions = [(name, *name.split("/")) for name in names]
        known = {topic: await self.known(_STREAM_OF[topic]) for _, topic, _ in partitions}
        sent = [
            [("HGET", base + POSITIONS, partition) for base in known[topic].layout.bases()]
            for _, topic, partition in partitions
        ]
        replies = await self._connection.pipelined([one for run in sent for one in run])
        offsets = spread([len(run) for run in sent], replies)
        return {name: min(int(offset or 0) for offset in run) for name, run in zip(names, offsets, strict=True)}

    async def _read_known(self, stream: Stream, now: Callable[[], float]) -> Known:
        until = now() + KNOWN_FOR_S
        layout = await read_layout(self._connection, self._prefix, stream)
        if layout is None:
            raise TryLater(f"there are no windows of stream {stream.upper()} yet: aggregates makes them at its start")
        return Known(layout, await read_standing(self._connection, layout), until)


async def read_layout(connection: Connection, prefix: str, stream: Stream) -> Layout | None:
    """The layout of the generation that answers, or None before the first.

    Raises:
        TryLater: Redis is away.
    """
    (value,) = await connection.pipelined([("GET", generation_key(prefix, stream))])
    return None if value is None else Layout(prefix, stream, msgspec.json.decode(value, type=Generation))


def _freshness(layout: Layout, told: Mapping[bytes, bytes]) -> Freshness:
    moments = [told.get(str(partition).encode()) for partition in range(layout.generation.partitions)]
    as_of_ms = None if None in moments else min(int(moment or 0) for moment in moments)
    return Freshness(as_of_ms, int(told.get(LATE, 0)))
