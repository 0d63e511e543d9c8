"""What a lane has in hand, it has once, and only while it is its own."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from common.deliveries import Delivery, DeliveryKind, DeliveryState
from common.errors import TryLater
from signals.notifier.hand import MOST_IN_HAND, Hand
from signals.notifier.settings import NotifierSettings

NOW = 1_795_420_800_000
ME = "notifier-1"


class Clock:
    def __init__(self) -> None:
        self.ms = NOW

    def now_ms(self) -> int:
        return self.ms


class Store:
    """What a hand asks of MongoDB."""

    def __init__(self) -> None:
        self.stored: list[Delivery] = []
        self.claims: list[str] = []
        self.away = False

    async def claimed_elsewhere(self, *_: Any) -> int:
        return 0

    async def due(self, _name: str, _now_ms: int, limit: int, kind: DeliveryKind | None = None) -> list[Delivery]:
        await asyncio.sleep(0)
        found = [one for one in self.stored if kind in {None, one.kind}]
        return [msgspec.structs.replace(one) for one in found[:limit]]

    async def held(self, _name: str, _me: str, _now_ms: int, limit: int) -> list[Delivery]:
        return [one for one in self.stored if one.id not in self.claims][:limit]

    async def claim(self, ids: Sequence[str], *_: Any) -> set[str]:
        await asyncio.sleep(0)
        if self.away:
            raise TryLater("MongoDB is away")
        self.claims += ids
        return set(ids)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hand(store: Store, clock: Clock) -> Hand:
    settings = NotifierSettings.model_construct(notifier_poll_ms=1, send_timeout_ms=20_000)
    return Hand("ops", ME, store, clock, settings)  # type: ignore[arg-type]  # a store and a clock of the test


def a_delivery(id_: str = "d", **fields: Any) -> Delivery:
    known = {"kind": DeliveryKind.ALERT, "destination": "ops", "state": DeliveryState.NEW, "created_at": NOW}
    claim = {"due_at": NOW, "claimed_by": ME, "claimed_until": NOW + 30_000}
    return Delivery(id=id_, **{**known, **claim, **fields})


async def turns(hand: Hand, number: int) -> list[str]:
    taken: list[str] = []
    for _ in range(number):
        taken += [one.id for one in await hand.take()]
        await asyncio.sleep(0.002)
    return taken


async def test_what_is_being_stored_is_taken_when_it_is_offered(hand: Hand, store: Store) -> None:
    """It can be seen in MongoDB before whoever stores it hears so, and its alert comes later."""
    assert await hand.take() == []
    hand.expect("d")
    store.stored.append(a_delivery())
    assert await turns(hand, 2) == []
    assert hand.offer([a_delivery()])
    hand.expect_no_more(["d"])
    assert await turns(hand, 2) == ["d"]


async def test_what_was_made_before_its_lane_began_is_taken_once(hand: Hand, store: Store) -> None:
    """Nobody expected it, and it is fetched by itself: before it is offered, after, or right then."""
    assert await hand.take() == []
    store.stored.append(a_delivery())
    await asyncio.sleep(0.002)
    fetching = asyncio.create_task(turns(hand, 3))
    for _ in range(2):  # it was found, and is being claimed
        await asyncio.sleep(0)
    assert not hand.offer([a_delivery(claimed_by=None, claimed_until=0)])
    assert await fetching == ["d"]
    assert not hand.offer([a_delivery()])
    assert await turns(hand, 2) == []
    assert store.claims == ["d"]


async def test_what_was_expected_and_never_offered_is_fetched(hand: Hand, store: Store) -> None:
    """Its answer was lost."""
    hand.expect("d")
    store.stored.append(a_delivery())
    assert await turns(hand, 1) == []
    hand.expect_no_more(["d"])
    assert await turns(hand, 2) == ["d"]


async def test_one_digest_takes_all_that_is_due_for_it(hand: Hand, store: Store) -> None:
    """However many more they are than a hand takes otherwise; where MongoDB is away meanwhile, none is lost."""
    store.stored = [a_delivery(f"d{n:04}", state=DeliveryState.HELD) for n in range(MOST_IN_HAND * 5 // 2)]
    taken = await hand.take()
    assert len(taken) == MOST_IN_HAND
    store.away = True
    with pytest.raises(TryLater):
        await hand.take_held()
    hand.give_back(taken)
    store.away = False
    taken = [*await hand.take(), *await hand.take_held()]
    assert sorted(one.id for one in taken) == [one.id for one in store.stored]


async def test_whoever_is_woken_looks_at_once(hand: Hand, store: Store) -> None:
    """Into MongoDB, long before the next look is due, unless the hand is full."""
    hand._settings = hand._settings.model_copy(update={"notifier_poll_ms": 60_000})
    assert await hand.take() == []
    store.stored.append(a_delivery())
    assert await hand.take() == []
    assert hand.look()
    assert [one.id for one in await hand.take()] == ["d"]
    store.stored += [a_delivery(f"d{n:04}") for n in range(MOST_IN_HAND * 2)]
    assert hand.look()
    assert len(await hand.take()) > MOST_IN_HAND // 2
    assert not hand.look()


async def test_a_claim_that_could_not_be_renewed_is_no_claim(hand: Hand, store: Store, clock: Clock) -> None:
    """Asked again, it is asked of MongoDB again."""
    delivery = a_delivery()
    assert await hand.hold(delivery)
    assert not store.claims
    clock.ms += 25_000
    store.away = True
    with pytest.raises(TryLater):
        await hand.hold(delivery)
    with pytest.raises(TryLater):
        await hand.hold(delivery)
    store.away = False
    assert await hand.hold(delivery)
    assert (store.claims, delivery.claimed_until > clock.ms + 20_000) == (["d"], True)
