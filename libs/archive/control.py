"""The control topic as bytes: whatever version wrote an entry, it is kept and put back as it stood."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Final

from common.clock import SystemClock
from common.contracts import CONTROL
from common.kafka.control_bytes import ControlBytes
from common.kafka.producer import Message, Producer
from common.kafka.topics import check_topics
from common.settings import KafkaSettings

_AT_ONCE: Final = 100


class RawControl:
    """All entries of control by their key, such as `rule/refunds`, in the order of their writing."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer = Producer(settings)
        self._table = ControlBytes(settings, self._producer, SystemClock())
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Read what is there.

        Raises:
            TryLater: Kafka is away.
            CannotStart: there are no topics.
        """
        await check_topics(self._settings)
        self._stack.push_async_callback(self._producer.stop)
        await self._producer.start()
        self._stack.push_async_callback(self._table.stop)
        await self._table.start()

    async def stop(self) -> None:
        await self._stack.aclose()

    def entries(self) -> Mapping[str, bytes]:
        """What is there."""
        return self._table.entries()

    async def put(self, entries: Sequence[tuple[str, bytes]]) -> int:
        """Write those that are not there, in their order; returns how many.

        Raises:
            TryLater: Kafka is away; some may have been written.
        """
        known, now_ms = self.entries(), SystemClock().now_ms()
        lacking = [Message(key.encode(), value, now_ms) for key, value in entries if key not in known]
        for start in range(0, len(lacking), _AT_ONCE):
            await self._producer.publish(CONTROL, lacking[start : start + _AT_ONCE])
        return len(lacking)
