"""Putting aside what cannot be taken: the bytes as they came go to records.rejected, the reason into the headers."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from common.contracts import REJECTED, Rejection, Stream
from common.decoding import UNREADABLE
from common.kafka.batches import Entry, Partition
from common.kafka.producer import Message, Producer, Receipt
from common.telemetry import TRACEPARENT, current_traceparent

MAX_KEPT_BYTES: Final = 512 * 1024
_HEADER: Final = "rejection"


class Rejected(NamedTuple):
    """One refused record; the same record refused by several workers has one key."""

    key: str  # topic/partition/offset, or request id/index
    value: bytes
    why: Rejection
    traceparent: bytes | None = None
    """The trace that the record came with; None stands for the one in hand."""


class Rejections:
    """Writes to records.rejected."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    async def put(self, rejected: Sequence[Rejected]) -> Receipt:
        """Write all of `rejected` and wait for Kafka's acknowledgement; returns the greatest offset per partition.

        Raises:
            TryLater: Kafka did not acknowledge them.
        """
        return await self._producer.publish(REJECTED, [_message(one) for one in rejected]) if rejected else {}


class Refusal(NamedTuple):
    """A message of the log that a worker cannot take, and why."""

    entry: Entry
    code: str
    detail: str


def put_aside(refusal: Refusal, partition: Partition, stream: Stream, *, service: str, now_ms: int) -> Rejected:
    """What a worker puts aside of `partition`."""
    entry, code, detail = refusal
    source = f"{partition.topic}/{partition.number}/{entry.offset}"
    value = entry.value or b""
    why = Rejection(
        code=code,
        detail=detail,
        stream=stream,
        rejected_by=service,
        rejected_at=now_ms,
        source=source,
        size=len(value),
        truncated=len(value) > MAX_KEPT_BYTES,
    )
    return Rejected(source, value, why, dict(entry.headers).get(TRACEPARENT))


def read_rejection(headers: Sequence[tuple[str, bytes]]) -> Rejection | None:
    """The reason out of a message's headers, or None when there is none that can be read."""
    raw = dict(headers).get(_HEADER)
    try:
        return msgspec.json.decode(raw, type=Rejection) if raw is not None else None
    except UNREADABLE:
        return None


def _message(rejected: Rejected) -> Message:
    headers = [(_HEADER, msgspec.json.encode(rejected.why))]
    in_hand = current_traceparent()
    traceparent = rejected.traceparent or (in_hand.encode() if in_hand else None)
    if traceparent is not None:
        headers.append((TRACEPARENT, traceparent))
    return Message(rejected.key.encode(), rejected.value[:MAX_KEPT_BYTES], rejected.why.rejected_at, headers)
