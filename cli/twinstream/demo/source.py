"""What a demo streams, whichever it is, and its way into waves."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from common.contracts import IncomingA, IncomingB, Stream
from twinstream.sending.lines import Position
from twinstream.sending.waves import Outgoing, lane_of


@dataclass(frozen=True)
class Source:
    """Records to stream, once; `done` of `total` steps are behind them."""

    title: str
    total: int
    done: Callable[[], int]
    records: Iterator[IncomingA]


class Shown(NamedTuple):
    """A B that was sent and its parent, which was sent too."""

    b_id: str
    a_id: str


class Witness:
    """Remembers, out of all that passes, the A with the most B, for commands to try: among the first thousand A."""

    _REMEMBERED = 1_000

    def __init__(self) -> None:
        self._children: dict[str, int] = {}
        self._last: dict[str, str] = {}

    @property
    def shown(self) -> Shown | None:
        """That A and its last B; None before any B came whose parent had come."""
        if not self._last:
            return None
        a_id = max(self._last, key=self._children.__getitem__)
        return Shown(self._last[a_id], a_id)

    def watch(self, records: Iterable[IncomingA]) -> Iterator[IncomingA]:
        for record in records:
            if not isinstance(record, IncomingB):
                if len(self._children) < self._REMEMBERED:
                    self._children.setdefault(str(record.id), 0)
            elif record.a_id in self._children:
                self._children[str(record.a_id)] += 1
                self._last[str(record.a_id)] = str(record.id)
            yield record


def outgoing(records: Iterable[IncomingA]) -> Iterator[Outgoing]:
    """Records as they are sent; a record's number stands for its line."""
    encode = msgspec.json.Encoder().encode
    for number, record in enumerate(records, 1):
        stream = Stream.B if isinstance(record, IncomingB) else Stream.A
        yield Outgoing(Position(number, number), stream, lane_of(str(record.id)), encode(record))
