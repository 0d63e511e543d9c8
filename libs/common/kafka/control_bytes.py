"""The control topic as it stands, byte by byte: for whoever keeps it, and need not know what its entries mean."""

from collections.abc import Mapping

from common.clock import Clock
from common.kafka.control import ControlTable
from common.kafka.producer import Producer
from common.settings import KafkaSettings


class ControlBytes(ControlTable):
    """Every entry by its key, such as `rule/refunds`, in the order of their writing; of any kind and version."""

    def __init__(self, settings: KafkaSettings, producer: Producer, clock: Clock) -> None:
        super().__init__(settings, producer, clock, types={})
        self._bytes: dict[str, bytes] = {}

    def entries(self) -> Mapping[str, bytes]:
        return self._bytes

    def _take(self, key: bytes | None, value: bytes | None, offset: int) -> None:
        super()._take(key, value, offset)
        name = (key or b"").decode(errors="replace")
        self._bytes.pop(name, None)  # the one that is written last comes last
        if value is not None:
            self._bytes[name] = value
