"""What became of an attempt, and what becomes of its delivery. Pure."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

import msgspec

from common.alerts import StoredAlert
from common.deliveries import MAX_ATTEMPTS_KEPT, Attempt, Delivery, DeliveryKind, DeliveryState
from common.destinations import Destination
from signals.notifier.schedule import wait_ms

RECORD_ERASED: Final = "its record was erased"
UNREADY_MS: Final = 1_000  # its alerts are stored moments after it, or once whoever stores them is back
LONGEST_UNREADY_MS: Final = 60_000
MISSED_FOR_MS: Final = 60 * 60 * 1000
"""For how long alerts are looked for that are not there: they expired, or someone took them away."""


class Verdict(StrEnum):
    ARRIVED = "arrived"
    FAILED = "failed"  # it may arrive later
    REFUSED = "refused"  # this message never will
    GONE = "gone"  # nothing ever will: the receiver says so
    PAUSED = "paused"  # not now: the receiver asks for a pause, which is no failure
    CONTINUED = "continued"  # a part of it arrived, and there are more
    UNREADY = "unready"  # it could not be tried
    ERASED = "erased"  # nothing is left to tell of


class Outcome(NamedTuple):
    """What became of an attempt."""

    verdict: Verdict
    attempt: Attempt | None
    asked_ms: int = 0  # how long the receiver asks to wait
    parts_done: int = 0  # parts of the message that have arrived so far


class Sender(Protocol):
    """Makes one attempt; whatever goes wrong is an outcome."""

    async def send(self, destination: Destination, delivery: Delivery, alerts: Sequence[StoredAlert]) -> Outcome: ...


def settled(
    delivery: Delivery, outcome: Outcome, now_ms: int, random: Callable[[], float], factor: float = 1.0
) -> Delivery:
    """`delivery` after an attempt, nobody's any more."""
    tried = msgspec.structs.replace(
        with_attempt(delivery, outcome),
        claimed_by=None,
        claimed_until=0,
        due_at=None,
        tries=delivery.tries + (outcome.attempt is not None),
    )
    match outcome.verdict:
        case Verdict.ARRIVED:
            return msgspec.structs.replace(tried, state=DeliveryState.DELIVERED, delivered_at=now_ms, detail=None)
        case Verdict.REFUSED | Verdict.GONE:
            return _given_up(tried, outcome)
        case Verdict.ERASED:
            return msgspec.structs.replace(tried, state=DeliveryState.ERASED, detail=RECORD_ERASED)
        case Verdict.UNREADY if outcome.attempt is None:
            return _unready(tried, now_ms)
        case _:
            wait = wait_ms(max(1, tried.tries), outcome.asked_ms, random, factor)
            return _again(tried, outcome, None if wait is None else now_ms + wait)


def with_attempt(delivery: Delivery, outcome: Outcome) -> Delivery:
    """`delivery` with the attempt in its log; nothing more is decided about it, also by who takes it over."""
    attempts = (*delivery.attempts, outcome.attempt) if outcome.attempt is not None else delivery.attempts
    return msgspec.structs.replace(
        delivery,
        state=DeliveryState.PENDING,
        attempts=attempts[-MAX_ATTEMPTS_KEPT:],
        parts_done=max(delivery.parts_done, outcome.parts_done),
    )


def without_answers(attempts: Sequence[Attempt]) -> tuple[Attempt, ...]:
    """`attempts` without what receivers answered, who may repeat what they were told."""
    return tuple(msgspec.structs.replace(attempt, response=None) for attempt in attempts)


def _again(tried: Delivery, outcome: Outcome, due_at: int | None) -> Delivery:
    if due_at is None or tried.kind is DeliveryKind.TEST:
        return _given_up(tried, outcome)
    return msgspec.structs.replace(tried, state=DeliveryState.PENDING, due_at=due_at)


def _unready(tried: Delivery, now_ms: int) -> Delivery:
    since = tried.missed_since or now_ms
    if now_ms - since >= MISSED_FOR_MS:
        return msgspec.structs.replace(tried, state=DeliveryState.FAILED, detail="its alert is not there any more")
    wait_ms = min(LONGEST_UNREADY_MS, max(UNREADY_MS, now_ms - since))  # twice as long each time
    return msgspec.structs.replace(tried, state=DeliveryState.PENDING, due_at=now_ms + wait_ms, missed_since=since)


def _given_up(tried: Delivery, outcome: Outcome) -> Delivery:
    error = outcome.attempt.error if outcome.attempt is not None else None
    return msgspec.structs.replace(tried, state=DeliveryState.FAILED, detail=error)
