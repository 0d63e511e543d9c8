"""What the log has behind a state of the lake: the part of the other stores that the lake cannot be blamed for.

They follow the log on their own, and are further than the lake most of the time. Whatever one of them may have taken in
beyond it lies between the lake's positions and the end that the log has after the others were read.
"""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from common.contracts import RECORDS, Stream
from common.errors import Refused, TryLater
from common.kafka.batches import Entry, Partition
from common.kafka.records import read_record
from common.kafka.replay import Replay
from lake.audit.state import HOUR_MS

MOST_MESSAGES: Final = 2_000_000

_PAGE: Final = 5_000
_TRIES: Final = 10


@dataclass
class Since:
    """The ids that messages behind a state speak of, and the hours that they may have come to lie in."""

    ids: set[str] = field(default_factory=set)
    hours: dict[int, set[str]] = field(default_factory=dict)
    """By the hour of an event time, the ids that have a version in it."""
    events: Counter[int] = field(default_factory=Counter)

    def take(self, stream: Stream, entries: Sequence[Entry]) -> None:
        """Take in messages; what is no record is in no store."""
        for entry in entries:
            try:
                said = read_record(stream, entry)
            except Refused:
                continue
            self.ids.add(said if isinstance(said, str) else said.id)
            if not isinstance(said, str):
                hour = said.event_time // HOUR_MS
                self.hours.setdefault(hour, set()).add(said.id)
                self.events[hour] += 1


async def read_since(replay: Replay, stream: Stream, positions: Mapping[int, int], partitions: int) -> Since:
    """What the log has from `positions` to where it ends now.

    Raises:
        TryLater: Kafka is away, or does not have all of it any more, or it is too much to hold: the lake is far behind.
    """
    since = Since()
    places = [(Partition(RECORDS[stream], number), positions.get(number, 0)) for number in range(partitions)]
    bounds = {partition: await replay.bounds(partition) for partition, _ in places}
    if any(start < bounds[partition][0] for partition, start in places):
        raise TryLater("retention took messages away that the lake does not have")
    behind = sum(max(0, bounds[partition][1] - start) for partition, start in places)
    if behind > MOST_MESSAGES:
        raise TryLater(f"the lake of stream {stream} is {behind:,} messages behind the log")
    for partition, start in places:
        async for entries in pages(replay, partition, start, bounds[partition][1]):
            since.take(stream, entries)
    return since


async def pages(replay: Replay, partition: Partition, start: int, end: int) -> AsyncIterator[Sequence[Entry]]:
    """All messages of a partition from `start` to before `end`, some at a time.

    Raises:
        TryLater: Kafka is away, or gives nothing though there is something.
    """
    at, tries = start, 0
    while at < end:
        entries = await replay.read(partition, at, min(_PAGE, end - at))
        tries = 0 if entries else tries + 1
        if tries == _TRIES:
            raise TryLater(f"the log gave nothing of {partition.topic}/{partition.number} from {at} on")
        if entries:
            at = entries[-1].offset + 1
            yield [entry for entry in entries if entry.offset < end]
