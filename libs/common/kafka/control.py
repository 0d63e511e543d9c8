"""The control topic as a table in memory: read from its start, followed live, written through Kafka.

It is the only home of keys, rules, conditions, destinations and silences. An entry's version is its offset. A write
answers once this process has read it back, so whoever wrote it sees it; other processes see it moments later.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from common import metrics
from common.clock import Clock
from common.contracts import CONTROL, ApiKey, Condition, ControlKind
from common.decoding import UNREADABLE
from common.destinations import Destination, Silence
from common.errors import TryLater
from common.kafka.connection import client_options, close_consumer, translated
from common.kafka.producer import Message, Producer
from common.kafka.starting import started
from common.settings import KafkaSettings

log = structlog.get_logger()

T = TypeVar("T", bound=msgspec.Struct)

_POLL_MS: Final = 500

TYPES: Final[dict[ControlKind, type[msgspec.Struct]]] = {
    ControlKind.KEY: ApiKey,
    ControlKind.CONDITION: Condition,
    ControlKind.DESTINATION: Destination,
    ControlKind.SILENCE: Silence,
}


class Versioned(NamedTuple, Generic[T]):
    """An entry and the offset that wrote it."""

    value: T
    version: int


class ControlTable:
    """All entries of control, as of some offset that only grows."""

    def __init__(
        self,
        settings: KafkaSettings,
        producer: Producer,
        clock: Clock,
        types: Mapping[ControlKind, type[msgspec.Struct]] = TYPES,
    ) -> None:
        """`types`: what the entries of each kind are; a table leaves out the kinds that it is not told of."""
        self._settings = settings
        self._types = types
        self._producer = producer
        self._clock = clock
        self._entries: dict[tuple[str, str], Versioned[Any]] = {}
        self._next = 0
        self._advanced = asyncio.Condition()
        self._tp = TopicPartition(settings.topic_prefix + CONTROL, 0)
        self._consumer: Any = None
        self._following: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read what is there, then keep following. May be called again after it failed.

        Raises:
            TryLater: Kafka cannot be reached, or stopped answering.
        """
        self._consumer = AIOKafkaConsumer(
            **client_options(self._settings),
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # were the topic made anew, all of it counts
            max_partition_fetch_bytes=self._settings.max_message_bytes,
            fetch_max_wait_ms=_POLL_MS,
        )
        try:
            await started(self._consumer, self._settings, "a reading of control")
            with translated("a reading of control"):
                self._consumer.assign([self._tp])
                await self._read_to_the_end()
        except BaseException:
            await close_consumer(self._consumer)
            raise
        self._following = asyncio.create_task(self._follow(), name="control")

    async def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
            with suppress(asyncio.CancelledError):
                await self._following
        if self._consumer is not None:
            await close_consumer(self._consumer)

    def problem(self) -> str | None:
        """Readiness: None while the table is being followed."""
        return None if self._following and not self._following.done() else "control is not being followed"

    @property
    def next_offset(self) -> int:
        """Everything before it is in this table: of two tables, the one with the greater knows more."""
        return self._next

    def get(self, kind: ControlKind, entry_id: str, type_: type[T]) -> Versioned[T] | None:
        """The entry `kind/entry_id`, or None."""
        entry = self._entries.get((kind, entry_id))
        return entry if entry is not None and isinstance(entry.value, type_) else None

    def of(self, type_: type[T]) -> Iterator[Versioned[T]]:
        """All entries of one type, in no particular order."""
        return (entry for entry in self._entries.values() if isinstance(entry.value, type_))

    async def put(self, kind: ControlKind, entry_id: str, value: msgspec.Struct | None) -> int:
        """Write an entry, or delete it with None; returns its version once this table shows it.

        Raises:
            TryLater: Kafka did not take it, or it was not read back in time.
        """
        encoded = None if value is None else msgspec.json.encode(value)
        message = Message(f"{kind}/{entry_id}".encode(), encoded, self._clock.now_ms())
        offset = (await self._producer.publish(CONTROL, [message]))[CONTROL, 0]
        try:
            async with asyncio.timeout(self._settings.kafka_timeout_ms / 1000), self._advanced:
                await self._advanced.wait_for(lambda: self._next > offset)
        except TimeoutError:
            raise TryLater(f"control took the write of {kind}/{entry_id}, but it was not read back in time") from None
        return offset

    async def wait_past(self, offset: int, within_s: float) -> None:
        """Wait until this table is past `offset`, for so long at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s), self._advanced:
                await self._advanced.wait_for(lambda: self._next > offset)

    async def _read_to_the_end(self) -> None:
        """Read everything that was written before now.

        Compaction may have taken the very last messages: then Kafka answers, again and again, with nothing.
        """
        now, timeout_s = asyncio.get_running_loop().time, self._settings.kafka_timeout_ms / 1000
        await self._consumer.seek_to_beginning(self._tp)
        end = (await self._consumer.end_offsets([self._tp]))[self._tp]
        empty_answers, answered_at = 0, now()
        # One could be an answer that came with messages just when the wait for it was over.
        while await self._consumer.position(self._tp) < end and empty_answers < 2:
            heard = self._consumer.last_poll_timestamp(self._tp)
            if await self._read():
                empty_answers, answered_at = 0, now()
            elif self._consumer.last_poll_timestamp(self._tp) != heard:
                empty_answers, answered_at = empty_answers + 1, now()
            elif now() - answered_at > timeout_s:
                raise TryLater("Kafka stopped answering in the middle of control")

    async def _follow(self) -> None:
        """Read on, whatever happens: what is known stays in force meanwhile, and a revocation must get here."""
        while True:
            try:
                await self._read()
            except Exception as error:  # noqa: BLE001  # to end here would freeze keys and rules for good
                log.warning("control_away", detail=repr(error))
                await asyncio.sleep(_POLL_MS / 1000)

    async def _read(self) -> bool:
        """Take in what has come; returns whether anything has."""
        fetched = await self._consumer.getmany(self._tp, timeout_ms=_POLL_MS)
        for entry in fetched.get(self._tp, ()):
            self._take(entry.key, entry.value, entry.offset)
            self._next = entry.offset + 1
        if not fetched:
            return False
        async with self._advanced:
            self._next = await self._consumer.position(self._tp)
            self._advanced.notify_all()
        metrics.CONTROL_OFFSET.set(self._next)
        return True

    def _take(self, key: bytes | None, value: bytes | None, offset: int) -> None:
        kind, _, entry_id = (key or b"").decode(errors="replace").partition("/")
        type_ = self._types.get(kind)  # type: ignore[call-overload]  # a kind that only newer services know is no error
        if type_ is None:
            return
        if value is None:
            self._entries.pop((kind, entry_id), None)
            return
        try:
            self._entries[kind, entry_id] = Versioned(msgspec.json.decode(value, type=type_), offset)
        except UNREADABLE as error:
            # The former entry stays in force: a bad write must not take a rule or a key away.
            log.error("control_entry_unreadable", kind=kind, id=entry_id, offset=offset, detail=str(error))
