"""Erasing an id: a tombstone in the log, which every store follows in the order of the log."""

from common.clock import Clock
from common.contracts import RECORDS, Stream
from common.kafka.producer import Message, Producer
from common.receipts import encode_receipt
from common.telemetry import TRACEPARENT, current_traceparent


class Erasures:
    """Writes tombstones."""

    def __init__(self, producer: Producer, clock: Clock) -> None:
        self._producer = producer
        self._clock = clock

    async def erase(self, stream: Stream, record_id: str) -> str:
        """Erase all that was sent under the id up to now; returns the tombstone's receipt.

        Raises:
            TryLater: Kafka did not acknowledge it; it may have been written, and doing it again does no harm.
        """
        traceparent = current_traceparent()
        headers = [(TRACEPARENT, traceparent.encode())] if traceparent else []
        tombstone = Message(record_id.encode(), None, self._clock.now_ms(), headers)
        return encode_receipt(await self._producer.publish(RECORDS[stream], [tombstone]))
