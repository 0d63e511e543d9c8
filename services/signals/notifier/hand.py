"""What a lane has in hand: the first few of its deliveries that are due, all claimed by this process."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from common.clock import Clock
from common.deliveries import Delivery, DeliveryKind, DeliveryState
from signals.notifier.delivery_store import DeliveryStore
from signals.notifier.settings import NotifierSettings

MOST_IN_HAND: Final = 500
MOST_HELD: Final = 5_000  # that leave in one digest


class Hand:
    """Takes deliveries out of MongoDB, or from where they were just stored."""

    def __init__(self, name: str, me: str, store: DeliveryStore, clock: Clock, settings: NotifierSettings) -> None:
        self._name = name
        self._me = me
        self._store = store
        self._clock = clock
        self._settings = settings
        self._ids: set[str] = set()
        self._coming: set[str] = set()  # being stored right now, to be offered
        self._offered: list[Delivery] = []
        self._free_of_others = False
        self._behind = True  # there may be more in MongoDB that is due
        self._look_at = 0.0

    def expect(self, id_: str) -> None:
        """Leave a delivery that is about to be stored to whoever stores it, until `expect_no_more`."""
        self._coming.add(id_)

    def expect_no_more(self, ids: Collection[str]) -> None:
        """Whatever became of storing them: those that were not offered are fetched."""
        self._coming.difference_update(ids)

    def offer(self, deliveries: Sequence[Delivery]) -> bool:
        """Take deliveries that were just stored, claimed for us; returns False for those that are fetched later.

        Those that we did not expect, for they were made before this lane began, may be being fetched right now.
        """
        expected = self._coming.issuperset(delivery.id for delivery in deliveries)
        if self._behind or not expected or len(self._ids) + len(deliveries) > MOST_IN_HAND:
            self._behind = True
            return False
        self._offered += [one for one in deliveries if one.id not in self._ids]
        self._ids |= {delivery.id for delivery in deliveries}
        return True

    def look(self) -> bool:
        """Look into MongoDB at the next turn; returns False where the hand is full, and looks by itself later."""
        if self._behind and len(self._ids) >= MOST_IN_HAND // 2:
            return False
        self._look_at = 0.0
        return True

    def keep(self, delivery: Delivery) -> None:
        """Have in hand what was stored by its lane itself, claimed."""
        self._ids.add(delivery.id)

    def drop(self, ids: Sequence[str]) -> None:
        """Forget deliveries that are done with, or someone else's."""
        self._ids.difference_update(ids)

    def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Have them taken again: nothing was done about them."""
        self._offered = [*deliveries, *self._offered]

    async def take(self) -> list[Delivery]:
        """What is due and was not taken before, in its order.

        Whoever had the lane before us and ended without a warning may still have messages on their way: nothing is
        taken until their claims have lapsed.

        Raises:
            TryLater: MongoDB is away.
        """
        if not self._free_of_others:
            self._free_of_others = not await self._store.claimed_elsewhere(self._name, self._me, self._clock.now_ms())
            if not self._free_of_others:
                return []
        now = asyncio.get_running_loop().time()
        if self._look_at <= now or (self._behind and len(self._ids) < MOST_IN_HAND // 2):
            self._look_at = now + self._settings.notifier_poll_ms / 1000
            await self._fetch()
        taken, self._offered = self._offered, []
        return sorted(taken, key=in_order)

    async def take_held(self) -> list[Delivery]:
        """What else is due and waits for a digest: one digest tells of all of it, however little a hand takes.

        Raises:
            TryLater: MongoDB is away; what was claimed until then is taken at the next turn.
        """
        while self._behind and len(self._ids) < MOST_HELD:
            now_ms = self._clock.now_ms()
            found = await self._store.held(self._name, self._me, now_ms, MOST_IN_HAND)
            before = len(self._ids)
            await self._claim(self._unknown(found), now_ms)
            if len(self._ids) == before:
                break
        held = [one for one in self._offered if one.state is DeliveryState.HELD]
        self._offered = [one for one in self._offered if one.state is not DeliveryState.HELD]
        return held

    async def hold(self, delivery: Delivery) -> bool:
        """Whether `delivery` is ours for as long as an attempt may take; a claim that ends sooner is renewed."""
        now_ms = self._clock.now_ms()
        if delivery.claimed_until - now_ms > self._settings.send_timeout_ms:
            return True
        until_ms = now_ms + self._settings.lease_ms
        if delivery.id not in await self._store.claim([delivery.id], self._me, now_ms, until_ms):
            return False
        delivery.claimed_until = until_ms  # only now: where MongoDB was away, nothing was claimed
        return True

    async def _fetch(self) -> None:
        now_ms, room = self._clock.now_ms(), MOST_IN_HAND - len(self._ids)
        limit = MOST_IN_HAND + len(self._ids)
        found = await self._store.due(self._name, now_ms, limit)
        self._behind = len(found) == limit
        unknown = self._unknown(found)
        if self._behind or len(unknown) > room:  # whoever tries a destination does not wait for what it holds up
            found += await self._store.due(self._name, now_ms, limit, DeliveryKind.TEST)
            tests = self._unknown(found[limit:])
            unknown, self._behind = [*tests, *unknown[:room]], True
        await self._claim(unknown, now_ms)

    async def _claim(self, deliveries: Sequence[Delivery], now_ms: int) -> None:
        until_ms = now_ms + self._settings.lease_ms
        claimed = await self._store.claim([one.id for one in deliveries], self._me, now_ms, until_ms)
        held = {"claimed_by": self._me, "claimed_until": until_ms}
        self._offered += [msgspec.structs.replace(one, **held) for one in deliveries if one.id in claimed]
        self._ids |= claimed

    def _unknown(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        return [one for one in deliveries if one.id not in self._ids and one.id not in self._coming]


def in_order(delivery: Delivery) -> tuple[int, str]:
    """The order in which deliveries were made."""
    return delivery.created_at, delivery.id
