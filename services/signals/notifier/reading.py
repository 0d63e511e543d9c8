"""What a batch of the topic `alerts` holds: alerts, and erasures of records that they were raised on. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import structlog

from common.alerts import ERASURE_KEY, Alert, Erasure, record_of
from common.contracts import Stream
from common.decoding import UNREADABLE
from common.kafka.batches import Entry

log = structlog.get_logger()

_ALERT: Final = msgspec.json.Decoder(Alert)
_ERASURE: Final = msgspec.json.Decoder(Erasure)


Erasures = Mapping[tuple[Stream, str], Erasure]
"""By what they erase; of several, the one that takes the most."""


class Place(NamedTuple):
    """An alert and its offset in its partition of the topic."""

    alert: Alert
    offset: int


class Read(NamedTuple):
    """What a batch holds."""

    places: Sequence[Place]
    erasures: Erasures

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> "Read":
        """What is neither was written by something else than the scanner, and is nobody's signal."""
        places, erasures = list[Place](), dict[tuple[Stream, str], Erasure]()
        for entry in entries:
            try:
                if (entry.key or b"").startswith(ERASURE_KEY):
                    _widen(erasures, _ERASURE.decode(entry.value or b""))
                else:
                    places.append(Place(_ALERT.decode(entry.value or b""), entry.offset))
            except UNREADABLE as error:
                log.error("alert_unreadable", offset=entry.offset, detail=str(error))
        return cls(places, erasures)

    def erasure_of(self, alert: Alert) -> Erasure | None:
        """What in this batch erases the record of `alert`."""
        return erasure_of(alert.stream, record_of(alert).id, alert.offset, self.erasures) if self.erasures else None

    def distinct(self) -> dict[str, Alert]:
        """The alerts by their ids, in order: the first of each id, unless its record was erased and sent again."""
        found: dict[str, Alert] = {}
        for alert, _ in self.places:
            if alert.id not in found or (self.erasure_of(found[alert.id]) and not self.erasure_of(alert)):
                found[alert.id] = alert
        return found


def erasure_of(stream: Stream, record_id: str, offset: int, erasures: Erasures) -> Erasure | None:
    """What of `erasures` takes what stands at `offset` of a record."""
    erasure = erasures.get((stream, record_id))
    return erasure if erasure is not None and offset < erasure.offset else None


def _widen(erasures: dict[tuple[Stream, str], Erasure], erasure: Erasure) -> None:
    known = erasures.get((erasure.stream, erasure.record_id))
    if known is None or known.offset < erasure.offset:
        erasures[erasure.stream, erasure.record_id] = erasure
