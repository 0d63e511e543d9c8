"""What happens to a request's records: each is checked, all that hold are written, the others are put aside."""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from admission.explanation import Refusal
from admission.validation import Validator
from common import metrics
from common.clock import IncreasingClock
from common.contracts import RECORDS, Rejection, Stream
from common.kafka.producer import Message, Producer, Receipt
from common.kafka.rejections import MAX_KEPT_BYTES, Rejected, Rejections
from common.receipts import encode_receipt
from common.telemetry import TRACEPARENT
from ingest.bodies import Split

SERVICE: Final = "ingest"

# Between slices other requests have their turn: this many take a millisecond to check, ten when all are refused.
_SLICE: Final = 200
_PUT_ASIDE: Final = 2_000  # refused records in one write: a body may have 100k, each write is a round trip


class RecordError(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Why one record was refused.

    `index` counts the records of the body from 0, blank lines left out; `line` counts the lines of NDJSON from 1.
    """

    index: int
    line: int | None = None
    field: str | None = None
    code: str
    detail: str


class Answer(msgspec.Struct, kw_only=True, frozen=True):
    """What became of a request's records. `receipt` stands for their place in the log, refused ones included."""

    accepted: int
    rejected: int
    receipt: str
    errors: Sequence[RecordError]


class _Refused(NamedTuple):
    error: RecordError
    raw: bytes


class Intake:
    """Takes in records of both streams."""

    def __init__(
        self, producer: Producer, rejections: Rejections, clock: IncreasingClock, *, max_record_bytes: int
    ) -> None:
        self._producer = producer
        self._rejections = rejections
        self._clock = clock
        self._validators = {stream: Validator(stream, max_record_bytes) for stream in Stream}

    def stamp(self, split: Split) -> int:
        """The `ingested_at` of the first of `split`'s records, in µs; the others follow it one by one."""
        return self._clock.next_us(len(split.records))

    async def take(self, stream: Stream, split: Split, first_us: int, traceparent: str) -> Answer:
        """Write the valid ones among `split` to the log and put the others aside; answers once Kafka has all of it.

        Args:
            stream: which the records are of.
            split: the raw records.
            first_us: what `stamp` gave for them; given again, it makes the very same versions again.
            traceparent: of the request.

        Raises:
            TryLater: Kafka did not acknowledge all of it; some may have been written.
        """
        messages, refused = await self._check(stream, split, first_us, traceparent)
        offsets = await self._producer.publish(RECORDS[stream], messages) if messages else {}
        # Trace and span: several requests may be parts of one trace of their caller's.
        put_aside = await self._put_aside(stream, refused, traceparent[3:52], first_us // 1000)
        _count(stream, len(messages), len(refused))
        return Answer(
            accepted=len(messages),
            rejected=len(refused),
            receipt=encode_receipt({**offsets, **put_aside}),
            errors=[one.error for one in refused],
        )

    async def _check(
        self, stream: Stream, split: Split, first_us: int, traceparent: str
    ) -> tuple[list[Message], list[_Refused]]:
        check = self._validators[stream].check
        headers = [(TRACEPARENT, traceparent.encode())]
        messages: list[Message] = []
        refused: list[_Refused] = []
        for index, raw in enumerate(split.records):
            now_us = first_us + index
            outcome = check(raw, now_us)
            if isinstance(outcome, Refusal):
                refused.append(_Refused(_error(outcome, index, split.lines), raw))
            else:
                messages.append(Message(outcome.key, outcome.value, now_us // 1000, headers))
            if index % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
        return messages, refused

    async def _put_aside(self, stream: Stream, refused: Sequence[_Refused], request_id: str, now_ms: int) -> Receipt:
        offsets: dict[tuple[str, int], int] = {}
        for start in range(0, len(refused), _PUT_ASIDE):
            some = [_rejected(stream, one, request_id, now_ms) for one in refused[start : start + _PUT_ASIDE]]
            offsets |= await self._rejections.put(some)
        return offsets


def _error(refusal: Refusal, index: int, lines: Sequence[int] | None) -> RecordError:
    return RecordError(
        index=index,
        line=None if lines is None else lines[index],
        field=refusal.field,
        code=refusal.code,
        detail=refusal.detail,
    )


def _rejected(stream: Stream, refused: _Refused, request_id: str, now_ms: int) -> Rejected:
    source = f"{request_id}/{refused.error.index}"
    why = Rejection(
        code=refused.error.code,
        detail=refused.error.detail,
        stream=stream,
        rejected_by=SERVICE,
        rejected_at=now_ms,
        source=source,
        size=len(refused.raw),
        truncated=len(refused.raw) > MAX_KEPT_BYTES,
    )
    return Rejected(source, refused.raw, why)


def _count(stream: Stream, accepted: int, rejected: int) -> None:
    metrics.INGESTED.labels(stream, "accepted").inc(accepted)
    metrics.INGESTED.labels(stream, "rejected").inc(rejected)
    metrics.INGEST_BATCH.labels(stream).observe(accepted + rejected)
