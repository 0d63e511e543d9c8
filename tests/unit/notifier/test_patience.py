"""Schedules, rests, paces and outcomes: pure, by numbers."""

from typing import Any

import msgspec
import pytest

from common.deliveries import MAX_ATTEMPTS_KEPT, Attempt, Delivery, DeliveryKind, DeliveryState
from common.destinations import DestinationKind
from common.errors import TryLater
from signals.notifier.breaker import FIRST_REST_MS, LONGEST_REST_MS, THRESHOLD, Breaker
from signals.notifier.digests import as_members, digests
from signals.notifier.outcomes import LONGEST_UNREADY_MS, MISSED_FOR_MS, UNREADY_MS, Outcome, Verdict, settled
from signals.notifier.pace import Pace
from signals.notifier.patience import until_done
from signals.notifier.schedule import WAITS_MS, wait_ms

NOW = 1_795_420_800_000


def a_delivery(**fields: Any) -> Delivery:
    known = {"id": "x-ops", "kind": DeliveryKind.ALERT, "destination": "ops", "state": DeliveryState.NEW}
    return Delivery(**{**known, "created_at": NOW, "due_at": NOW, "claimed_by": "me", **fields})


def an_outcome(verdict: Verdict, error: str | None = "answered 500", **fields: Any) -> Outcome:
    return Outcome(verdict, Attempt(at=NOW, latency_ms=3, error=error), **fields)


@pytest.mark.parametrize("random", [0.0, 0.5, 1.0])
def test_the_schedule_spreads_over_more_than_a_day(random: float) -> None:
    """Each wait within a fifth of what it is, then it is given up."""
    waits = [wait_ms(tries, 0, lambda: random) for tries in range(1, len(WAITS_MS) + 1)]
    assert all(abs(wait / base - 1) <= 0.2001 for wait, base in zip(waits, WAITS_MS, strict=True) if wait)
    assert sum(WAITS_MS) > 24 * 3_600_000
    assert wait_ms(len(WAITS_MS) + 1, 0, lambda: random) is None


def test_a_receiver_may_ask_for_more_patience() -> None:
    """For a day at most, and never for less than ours."""
    assert wait_ms(1, 600_000, lambda: 0.5) == 600_000
    assert wait_ms(3, 1, lambda: 0.5) == WAITS_MS[2]
    assert wait_ms(1, 10**12, lambda: 0.5) == 24 * 3_600_000


async def test_what_a_store_refuses_for_too_long_is_left_to_another_process() -> None:
    """It is tried again until then; the last failure says what was wrong."""
    tried = 0

    async def attempt() -> int:
        nonlocal tried
        tried += 1
        if tried < 3:
            raise TryLater(f"away {tried}")
        return tried

    with pytest.raises(TryLater, match="away 1"):
        await until_done(attempt, patience_s=0)
    assert await until_done(attempt) == 3


def test_a_rest_doubles_until_something_arrives() -> None:
    """One message tries it after each; a success forgets it all."""
    breaker, now = Breaker(), NOW
    for _ in range(THRESHOLD - 1):
        breaker.failed(now)
    assert breaker.allows(now, 7)
    rests = []
    for _ in range(8):
        breaker.failed(now)
        rests.append(breaker.rests_until - now)
        assert not breaker.allows(breaker.rests_until - 1, 0)
        now = breaker.rests_until
        assert breaker.allows(now, 0)
        assert not breaker.allows(now, 1)
    assert rests[:3] == [FIRST_REST_MS, 2 * FIRST_REST_MS, 4 * FIRST_REST_MS]
    assert rests[-1] == LONGEST_REST_MS
    breaker.succeeded()
    assert breaker.allows(now, 7)


def test_failures_within_a_rest_do_not_lengthen_it() -> None:
    """Messages that were on their way when it began tell nothing new."""
    breaker = Breaker()
    for _ in range(THRESHOLD + 5):
        breaker.failed(NOW)
    assert breaker.rests_until == NOW + FIRST_REST_MS


def test_a_pace_lets_one_leave_in_each_interval() -> None:
    """And nothing before a pause is over."""
    pace = Pace(1_000)
    assert pace.allows(NOW)
    pace.started(NOW)
    assert not pace.allows(NOW + 999)
    pace.pause(NOW, 30_000)
    pace.started(NOW)
    assert not pace.allows(NOW + 29_999)
    assert pace.allows(NOW + 30_000)
    free = Pace()
    free.started(NOW)
    assert free.allows(NOW)


@pytest.mark.parametrize(
    ("verdict", "kind", "tries", "state", "due"),
    [
        (Verdict.ARRIVED, DeliveryKind.ALERT, 0, DeliveryState.DELIVERED, None),
        (Verdict.FAILED, DeliveryKind.ALERT, 0, DeliveryState.PENDING, NOW + WAITS_MS[0]),
        (Verdict.FAILED, DeliveryKind.ALERT, 3, DeliveryState.PENDING, NOW + WAITS_MS[3]),
        (Verdict.FAILED, DeliveryKind.ALERT, len(WAITS_MS), DeliveryState.FAILED, None),
        (Verdict.FAILED, DeliveryKind.TEST, 0, DeliveryState.FAILED, None),
        (Verdict.REFUSED, DeliveryKind.ALERT, 0, DeliveryState.FAILED, None),
        (Verdict.GONE, DeliveryKind.ALERT, 0, DeliveryState.FAILED, None),
    ],
)
def test_an_attempt_settles_its_delivery(
    verdict: Verdict, kind: DeliveryKind, tries: int, state: DeliveryState, due: int | None
) -> None:
    """Nobody's any more, with the attempt in its log."""
    outcome = an_outcome(verdict, None if verdict is Verdict.ARRIVED else "answered 500")
    after = settled(a_delivery(kind=kind, tries=tries), outcome, NOW, lambda: 0.5)
    assert (after.state, after.due_at, after.claimed_by, after.tries) == (state, due, None, tries + 1)
    assert after.attempts == (outcome.attempt,)
    assert (after.detail == "answered 500") is (state is DeliveryState.FAILED)
    assert (after.delivered_at == NOW) is (state is DeliveryState.DELIVERED)


def test_what_could_not_be_tried_is_no_try() -> None:
    """It comes again in a moment."""
    after = settled(a_delivery(), Outcome(Verdict.UNREADY, None), NOW, lambda: 0.5)
    assert (after.state, after.tries, after.attempts) == (DeliveryState.PENDING, 0, ())
    assert after.due_at == NOW + UNREADY_MS


def test_what_is_not_there_for_an_hour_is_given_up() -> None:
    """It is looked for less and less often; called for again, it is looked for as long again."""
    delivery, now, looks = a_delivery(), NOW, 0
    while delivery.state is not DeliveryState.FAILED:
        delivery = settled(delivery, Outcome(Verdict.UNREADY, None), now, lambda: 0.5)
        assert (delivery.due_at or now) - now <= LONGEST_UNREADY_MS
        now, looks = delivery.due_at or now, looks + 1
    assert MISSED_FOR_MS <= now - NOW < MISSED_FOR_MS + LONGEST_UNREADY_MS
    assert looks < 100
    assert (delivery.detail, delivery.due_at) == ("its alert is not there any more", None)


def test_the_log_of_attempts_forgets_the_oldest() -> None:
    """A delivery stays small, however often it is sent."""
    delivery = a_delivery()
    for _ in range(MAX_ATTEMPTS_KEPT + 5):
        delivery = settled(msgspec.structs.replace(delivery, tries=0), an_outcome(Verdict.FAILED), NOW, lambda: 0.5)
    assert len(delivery.attempts) == MAX_ATTEMPTS_KEPT


def test_a_digest_goes_by_its_first_member() -> None:
    """Made again after a crash it is the same message; each member knows it."""
    held = [a_delivery(id=f"{n}-ops", alert=str(n), state=DeliveryState.HELD) for n in range(250)]
    made = digests(held, DestinationKind.WEBHOOK, NOW)
    again = digests(held[:-1], DestinationKind.WEBHOOK, NOW + 5)
    assert [one.id for one in made] == [one.id for one in again]
    assert [(one.part, one.parts, one.total, len(one.members)) for one in made] == [
        (1, 3, 250, 100),
        (2, 3, 250, 100),
        (3, 3, 250, 50),
    ]
    members = as_members(made[1], held, NOW)
    assert [one.alert for one in members] == list(made[1].members)
    assert {(one.state, one.message, one.due_at) for one in members} == {(DeliveryState.DIGESTED, made[1].id, None)}
    arrived = msgspec.structs.replace(made[1], state=DeliveryState.DELIVERED, due_at=None, delivered_at=NOW)
    late = as_members(arrived, held, NOW)
    assert {(one.state, one.delivered_at) for one in late} == {(DeliveryState.DELIVERED, NOW)}
    assert len(digests(held, DestinationKind.SLACK, NOW)) == 1


def test_a_digest_is_no_longer_than_receivers_take() -> None:
    """Half a megabyte to a webhook, unless one alert alone is longer; Slack is told counts and a few excerpts."""
    sizes = [100_000] * 12 + [600_000] + [1] * 3
    held = [
        a_delivery(id=f"{n}-ops", alert=str(n), state=DeliveryState.HELD, size=size) for n, size in enumerate(sizes)
    ]
    made = digests(held, DestinationKind.WEBHOOK, NOW)
    assert [len(one.members) for one in made] == [5, 5, 2, 1, 3]
    assert {(one.parts, one.total) for one in made} == {(5, 16)}
    assert [member for one in made for member in one.members] == [one.alert for one in held]
    assert len(digests(held, DestinationKind.SLACK, NOW)) == 1
