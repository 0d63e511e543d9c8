"""Putting rejected records into the log again: mended or as they are, each one once."""

import secrets
from collections.abc import Awaitable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import msgspec
import structlog

from admission.explanation import Refusal
from admission.validation import Accepted, Validator
from common import metrics
from common.clock import Clock, IncreasingClock
from common.concurrency import all_of
from common.contracts import RECORDS, StoredRejected, StoredReplay, Stream
from common.decoding import UNREADABLE
from common.errors import TryLater
from common.instants import rfc3339_ms
from common.kafka.producer import Message, Producer
from common.receipts import encode_receipt
from common.telemetry import TRACEPARENT, current_traceparent
from query_api.rejected_store import RejectedStore
from query_api.rejected_views import Outcome, RecordError, Replayed

log = structlog.get_logger()

_INGEST: Final = "ingest"  # what others refused is in the form of the log
_LEASE_MS: Final = 60_000  # longer than a request takes

Replacements = Mapping[str, Sequence[bytes] | None]
"""What shall go in the place of each rejected record, by its id; None: the very same bytes."""


@dataclass
class _Item:
    """What goes, or does not go, in the place of one rejected record."""

    stored: StoredRejected
    outcome: Outcome
    raws: Sequence[bytes] = ()
    first_us: int = 0
    """The `ingested_at` of the first of them."""
    checked: Sequence[Accepted | Refusal] = field(default_factory=list)
    owner: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def stream(self) -> Stream:
        return Stream(self.stored.stream)

    def messages(self) -> Iterator[Message]:
        traceparent = current_traceparent()
        headers = [(TRACEPARENT, traceparent.encode())] if traceparent else []
        for index, one in enumerate(self.checked):
            if isinstance(one, Accepted):
                yield Message(one.key, one.value, (self.first_us + index) // 1000, headers)


class Replays:
    """Replays rejected records by the rules that ingest takes records by."""

    def __init__(self, rejected: RejectedStore, producer: Producer, clock: Clock, *, max_record_bytes: int) -> None:
        self._rejected = rejected
        self._producer = producer
        self._clock = clock
        self._stamps = IncreasingClock(clock)
        self._validators = {stream: Validator(stream, max_record_bytes) for stream in Stream}

    async def rehearse(self, wanted: Replacements) -> list[Replayed]:
        """What `replay` would do; nothing is written.

        Raises:
            TryLater: MongoDB is away.
        """
        items = await self._prepared(wanted)
        return [_view(id_, items.get(id_)) for id_ in wanted]

    async def replay(self, wanted: Replacements, caller: str) -> list[Replayed]:
        """Put into the log what may go there. A record that was replayed before is not replayed again.

        All that goes in the place of one rejected record is valid, or none of it is taken. An event time that is not
        given is the moment of the rejection: what was sent since is newer, and stays so.

        Raises:
            TryLater: MongoDB or Kafka is away; the same request goes on from there.
        """
        items = await self._prepared(wanted)
        await all_of([self._reserve(item, caller) for item in items.values() if item.outcome is Outcome.ACCEPTABLE])
        reserved = [item for item in items.values() if item.outcome is Outcome.ACCEPTABLE]
        try:
            offsets = [await self._publish(stream, reserved) for stream in Stream]
        except BaseException:
            await all_of([_noted(item, self._rejected.release(item.stored.id, item.owner)) for item in reserved])
            raise
        receipt = encode_receipt({place: offset for written in offsets for place, offset in written.items()})
        await all_of([_noted(item, self._rejected.finish(item.stored.id, item.owner, receipt)) for item in reserved])
        for item in reserved:
            item.outcome = Outcome.REPLAYED
        return [_view(id_, items.get(id_), receipt) for id_ in wanted]

    async def _prepared(self, wanted: Replacements) -> dict[str, _Item]:
        stored = await self._rejected.find(wanted.keys())
        return {id_: self._prepare(stored[id_], raws) for id_, raws in wanted.items() if id_ in stored}

    def _prepare(self, stored: StoredRejected, raws: Sequence[bytes] | None) -> _Item:
        replay = stored.replay
        if replay is not None and replay.receipt is not None:
            return _Item(stored, Outcome.REPLAYED_BEFORE)
        if replay is not None and replay.lease_until > self._clock.now_ms():
            return _Item(stored, Outcome.IN_FLIGHT)
        if raws is None and stored.truncated:
            return _Item(stored, Outcome.REFUSED, checked=[_truncated(stored)])
        return self._check(stored, [_as_sent(stored)] if raws is None else raws)

    def _check(self, stored: StoredRejected, raws: Sequence[bytes]) -> _Item:
        first_us = self._first_us(stored, raws)
        check = self._validators[Stream(stored.stream)].check
        checked = [check(raw, first_us + index, stored.rejected_at) for index, raw in enumerate(raws)]
        refused = any(isinstance(one, Refusal) for one in checked)
        return _Item(stored, Outcome.REFUSED if refused else Outcome.ACCEPTABLE, raws, first_us, checked)

    def _first_us(self, stored: StoredRejected, raws: Sequence[bytes]) -> int:
        """The stamp of an attempt that vanished, if it was to put the same in its place; else a new one."""
        if stored.replay is not None and stored.replay.fingerprint == _fingerprint(raws):
            return stored.replay.first_us
        return self._stamps.next_us(len(raws))

    async def _reserve(self, item: _Item, caller: str) -> None:
        now_ms = self._clock.now_ms()
        mark = StoredReplay(
            owner=item.owner,
            fingerprint=_fingerprint(item.raws),
            first_us=item.first_us,
            lease_until=now_ms + _LEASE_MS,
            by=caller,
            at=now_ms,
        )
        if not await self._rejected.reserve(item.stored, mark):
            item.outcome = Outcome.IN_FLIGHT

    async def _publish(self, stream: Stream, items: Iterable[_Item]) -> Mapping[tuple[str, int], int]:
        messages = [message for item in items if item.stream is stream for message in item.messages()]
        if not messages:
            return {}
        offsets = await self._producer.publish(RECORDS[stream], messages)
        metrics.REPLAYED.labels(stream).inc(len(messages))
        return offsets


async def _noted(item: _Item, noting: Awaitable[bool]) -> None:
    """That MongoDB went away meanwhile is no matter: a repeat after the lease writes the very same versions."""
    try:
        await noting
    except TryLater as error:
        log.warning("replay_not_noted", id=item.stored.id, detail=str(error))


def _truncated(stored: StoredRejected) -> Refusal:
    kept = f"Only the first {len(stored.value):,} of its {stored.size:,} bytes were kept: send it mended."
    return Refusal("truncated", kept)


def _as_sent(stored: StoredRejected) -> bytes:
    """What its sender wrote: a record that a worker refused carries ingest's stamp, too."""
    if stored.rejected_by == _INGEST:
        return stored.value
    try:
        members = msgspec.json.decode(stored.value, type=dict[str, msgspec.Raw])
    except UNREADABLE:
        return stored.value
    members.pop("ingested_at", None)
    return msgspec.json.encode(members)


def _fingerprint(raws: Collection[bytes]) -> str:
    digest = sha256()
    for raw in raws:
        digest.update(b"%d\n" % len(raw) + raw)
    return digest.hexdigest()


def _view(rejected_id: str, item: _Item | None, receipt: str | None = None) -> Replayed:
    if item is None:
        return Replayed(id=rejected_id, outcome=Outcome.UNKNOWN)
    before = item.stored.replay if item.outcome is Outcome.REPLAYED_BEFORE else None
    now = receipt if item.outcome is Outcome.REPLAYED else None
    return Replayed(
        id=rejected_id,
        outcome=item.outcome,
        errors=[
            RecordError(index=index, field=one.field, code=one.code, detail=one.detail)
            for index, one in enumerate(item.checked)
            if isinstance(one, Refusal)
        ],
        replayed_at=None if before is None else rfc3339_ms(before.at),
        receipt=now if before is None else before.receipt,
    )
