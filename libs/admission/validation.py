"""What makes a record valid: raw bytes in, what stands in the log or a refusal out. Pure.

A valid record passes `Validator.check` in a few microseconds. One that is not is looked at again by `explanation`,
which finds out what to tell its sender; both apply the same rules.
"""

import msgspec

from admission.explanation import Refusal, explain
from admission.rules import Broken, bounded_text, double, epoch_ms, identifier
from common.contracts import INCOMING, IncomingA, IncomingB, RecordA, RecordB, Stream


class Accepted(msgspec.Struct, frozen=True, gc=False):
    """A record as it stands in the log."""

    key: bytes
    value: bytes


class Validator:
    """Turns the raw records of one stream into what stands in the log."""

    def __init__(self, stream: Stream, max_record_bytes: int) -> None:
        self._stream = stream
        self._max_record_bytes = max_record_bytes
        self._decode = msgspec.json.Decoder(INCOMING[stream]).decode
        self._encode = msgspec.json.Encoder().encode

    def check(self, raw: bytes, now_us: int, sent_ms: int | None = None) -> Accepted | Refusal:
        """The record in `raw`, or why it is refused.

        Args:
            raw: its JSON.
            now_us: when it is ingested, in µs since the epoch.
            sent_ms: the event time of a record that names none, in ms since the epoch; the moment of ingestion if None.
        """
        if len(raw) > self._max_record_bytes:
            limit = f"{self._max_record_bytes:,}"
            return Refusal("record_too_large", f"The record's JSON has {len(raw):,} bytes: at most {limit} are taken.")
        try:
            record = _record(self._decode(raw), now_us, sent_ms)
            return Accepted(record.id.encode(), self._encode(record))
        except (msgspec.MsgspecError, UnicodeError, RecursionError, Broken) as error:
            return explain(raw, self._stream, now_us // 1000) or Refusal("record_not_json", f"{error}.")


def _record(incoming: IncomingA, now_us: int, sent_ms: int | None) -> RecordA:
    record_id = identifier(incoming.id)
    number = double(incoming.number)
    text = bounded_text(incoming.text)
    named = sent_ms if incoming.event_time is None else incoming.event_time
    event_time = epoch_ms(named, now_us // 1000)
    if isinstance(incoming, IncomingB):
        return RecordB(
            id=record_id,
            a_id=identifier(incoming.a_id),
            number=number,
            text=text,
            event_time=event_time,
            ingested_at=now_us,
        )
    return RecordA(id=record_id, number=number, text=text, event_time=event_time, ingested_at=now_us)
