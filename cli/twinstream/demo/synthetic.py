"""Records made up from a seed in the shape of the mission: any of them by its number, the same ones every time.

Nothing is stored, so a run takes as much memory at a billion records as at ten.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from common.contracts import DAY_MS, IncomingA, IncomingB, Stream
from twinstream.demo.chance import mix, unit
from twinstream.demo.shape import B_PER_A, Ids, Place, Shape
from twinstream.demo.texts import Planted, Texts

_GROUP: Final = B_PER_A + 1
_CHANGES_EVERY: Final = 3  # one in so many records that come again says something new


class Truth(msgspec.Struct, frozen=True):
    """A signal that was planted; `start` and `end` count code points of the record's text."""

    stream: Stream
    id: str
    phrase: str
    start: int
    end: int
    event_time: int | None  # ms since the epoch; None where ingest decides


class Generated(NamedTuple):
    """A record, and the truth about it where a signal was planted."""

    record: IncomingA
    truth: Truth | None


class Synthetic:
    """A run of records; one of eleven is an A.

    Args:
        shape: what the run looks like.
        until_ms: the event time of the last record, the first one's being a day earlier; None leaves them to ingest.
    """

    def __init__(self, shape: Shape, until_ms: int | None = None) -> None:
        self._shape = shape
        self._until_ms = until_ms
        self._ids = Ids(shape)
        self._texts = Texts(shape.signal_every)
        self._salt = {stream: mix(mix(shape.seed) + place) for place, stream in enumerate(Stream)}

    def __iter__(self) -> Iterator[Generated]:
        return map(self.record, range(self._shape.records))

    def record(self, number: int) -> Generated:
        """The record with this number, counted from 0."""
        group, place = divmod(number, _GROUP)
        event_time = self._event_time(number)
        if place == 0:
            return self._a(self._ids.a(group), event_time)
        return self._b(self._ids.b(group * B_PER_A + place - 1), event_time)

    def _a(self, place: Place, event_time: int | None) -> Generated:
        about = mix(self._salt[Stream.A] ^ place.number)
        record_id = f"a-{place.number:07}"
        text, planted = self._texts.text(about, _revision(about, place.age))
        record = IncomingA(id=record_id, number=_number(about, place.age), text=text, event_time=event_time)
        return Generated(record, _truth(Stream.A, record_id, planted, event_time))

    def _b(self, place: Place, event_time: int | None) -> Generated:
        about = mix(self._salt[Stream.B] ^ place.number)
        record_id = f"b-{place.number:09}"
        text, planted = self._texts.text(about, _revision(about, place.age))
        record = IncomingB(
            id=record_id,
            a_id=f"a-{self._ids.parent(place.number, place.age):07}",
            number=_number(about, place.age),
            text=text,
            event_time=event_time,
        )
        return Generated(record, _truth(Stream.B, record_id, planted, event_time))

    def _event_time(self, number: int) -> int | None:
        if self._until_ms is None:
            return None
        return self._until_ms - DAY_MS + (number + 1) * DAY_MS // self._shape.records


def _revision(about: int, age: int) -> int:
    """The last time up to `age` that the text changed, 0 while it is as it was at first."""
    return next((at for at in range(age, 0, -1) if mix(about - at) % _CHANGES_EVERY == 0), 0)


def _number(about: int, age: int) -> float:
    """Mostly small, seldom up to 1,000, drifting as it comes again."""
    return round(unit(about) ** 4 * 1000 * (1 + age / 100), 2)


def _truth(stream: Stream, record_id: str, planted: Planted | None, event_time: int | None) -> Truth | None:
    return None if planted is None else Truth(stream, record_id, *planted, event_time)
