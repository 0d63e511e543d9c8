"""What became of the records: counts, and the first few refusals of each kind."""

from typing import Final, NamedTuple

import msgspec

from common.contracts import Stream
from twinstream.sending.lines import Position

EXAMPLES: Final = 3


class Refusal(NamedTuple):
    """A record that was refused, where it ends in its source, and why."""

    end: Position
    stream: Stream
    code: str
    detail: str
    field: str | None = None
    raw: bytes | None = None


class Example(msgspec.Struct, frozen=True):
    """A refusal to show."""

    line: int
    detail: str


class Tally(msgspec.Struct):
    """Grows with each wave; `refused` by code, `examples` the first of each code."""

    accepted: int = 0
    refused: dict[str, int] = {}
    examples: dict[str, list[Example]] = {}

    @property
    def refused_total(self) -> int:
        return sum(self.refused.values())

    @property
    def sent(self) -> int:
        return self.accepted + self.refused_total

    def rate(self, already: int, seconds: float) -> float:
        """Records per second of a run of `seconds`, before which `already` had been sent."""
        return (self.sent - already) / max(seconds, 1e-3)

    def add(self, accepted: int, refused: list[Refusal]) -> None:
        """Count a wave's outcome; `refused` in the order of their lines."""
        self.accepted += accepted
        for refusal in refused:
            self.refused[refusal.code] = self.refused.get(refusal.code, 0) + 1
            shown = self.examples.setdefault(refusal.code, [])
            if len(shown) < EXAMPLES:
                shown.append(Example(refusal.end.line, refusal.detail))


class RefusalLine(msgspec.Struct):
    """A line of the file that `--refusals` writes; `raw` is the record as it was, bytes that are no UTF-8 replaced."""

    line: int
    stream: Stream
    code: str
    detail: str
    field: str | None
    raw: str | None


def refusal_line(refusal: Refusal) -> bytes:
    """`refusal` as a line of NDJSON."""
    raw = None if refusal.raw is None else refusal.raw.decode(errors="replace")
    line = RefusalLine(refusal.end.line, refusal.stream, refusal.code, refusal.detail, refusal.field, raw)
    return msgspec.json.encode(line) + b"\n"
