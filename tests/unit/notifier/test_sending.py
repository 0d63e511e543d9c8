"""Messages leave at the pace of their place, whatever they are."""

import asyncio
from typing import Any

import pytest

from common.deliveries import Attempt, Delivery, DeliveryKind, DeliveryState
from signals.notifier.breaker import THRESHOLD, Breaker
from signals.notifier.outcomes import Outcome, Verdict
from signals.notifier.pace import Pace
from signals.notifier.sending import Hands, Sending

NOW = 1_795_420_800_000


class Clock:
    def __init__(self) -> None:
        self.ms = NOW

    def now_ms(self) -> int:
        return self.ms

    def now_us(self) -> int:
        return self.ms * 1000


class Receiver:
    """Answers with `outcomes`, then takes all; notes what was written down meanwhile."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.tried: list[str] = []
        self.progress: list[Delivery] = []

    def hands(self) -> Hands:
        return Hands(self._hold, self._attempt, self._settle, self._progress, lambda _: None, lambda: None)

    async def _hold(self, _: Delivery) -> bool:
        return True

    async def _attempt(self, delivery: Delivery) -> Outcome:
        self.tried.append(delivery.id)
        return self.outcomes.pop(0) if self.outcomes else Outcome(Verdict.ARRIVED, None)

    async def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        pass

    async def _progress(self, delivery: Delivery, _: Outcome) -> None:
        self.progress.append(delivery)


PAUSED = Outcome(Verdict.PAUSED, Attempt(at=NOW, latency_ms=1, status=429, error="ratelimited"), 30_000)


def a_delivery(id_: str, kind: DeliveryKind = DeliveryKind.ALERT, **fields: Any) -> Delivery:
    known = {"destination": "team", "state": DeliveryState.NEW, "created_at": NOW, "due_at": NOW}
    return Delivery(id=id_, kind=kind, **{**known, **fields})


async def turn(sending: Sending, breaker: Breaker) -> None:
    sending.start(breaker)
    await sending.finish(within_s=10)
    sending.check()


@pytest.mark.parametrize("kind", [DeliveryKind.ALERT, DeliveryKind.TEST])
async def test_a_pause_holds_for_every_message(kind: DeliveryKind) -> None:
    """For one that somebody called for to try the place, too: it would ask again and again."""
    receiver, clock = Receiver(PAUSED), Clock()
    sending = Sending(receiver.hands(), clock, Pace(1_000), at_once=1)
    sending.add(a_delivery("d", kind, state=DeliveryState.PENDING))
    for _ in range(3):
        await turn(sending, Breaker())
        clock.ms += 9_000
    assert receiver.tried == ["d"]
    clock.ms += 30_000
    await turn(sending, Breaker())
    assert receiver.tried == ["d", "d"]


async def test_a_trial_keeps_the_pace_and_passes_the_breaker() -> None:
    """It goes before what waits, and what waits goes a second later."""
    receiver, clock, breaker = Receiver(), Clock(), Breaker()
    sending = Sending(receiver.hands(), clock, Pace(1_000), at_once=1)
    sending.add(a_delivery("first"))
    sending.add(a_delivery("trial", DeliveryKind.TEST, state=DeliveryState.PENDING))
    for _ in range(THRESHOLD):
        breaker.failed(clock.ms)
    await turn(sending, breaker)
    breaker.succeeded()
    await turn(sending, breaker)
    assert receiver.tried == ["trial"]
    clock.ms += 1_000
    await turn(sending, breaker)
    assert receiver.tried == ["trial", "first"]


async def test_what_hangs_keeps_nobody_from_ending() -> None:
    """It is left to whoever comes next, once its claim has lapsed."""
    receiver, ended = Receiver(), asyncio.Event()

    async def hang(_: Delivery) -> Outcome:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    sending = Sending(receiver.hands()._replace(attempt=hang), Clock(), Pace(), at_once=1)
    sending.add(a_delivery("d"))
    sending.start(Breaker())
    await sending.finish(within_s=0.01)
    async with asyncio.timeout(10):
        await ended.wait()
    sending.check()


async def test_what_was_paused_is_not_decided_again_by_whoever_takes_it_over() -> None:
    """Its own leaving, which is written down with the pause, would cool it."""
    receiver = Receiver(PAUSED)
    sending = Sending(receiver.hands(), Clock(), Pace(1_000), at_once=1)
    sending.add(a_delivery("d", left_at=NOW, cooldown_seconds=60))
    await turn(sending, Breaker())
    await asyncio.sleep(0)
    (written,) = receiver.progress
    assert (written.state, written.left_at, len(written.attempts)) == (DeliveryState.PENDING, NOW, 1)
