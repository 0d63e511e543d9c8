"""Decides what becomes of deliveries, and makes digests of those that waited."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from common.clock import Clock
from common.contracts import Stream
from common.deliveries import Delivery, DeliveryState
from common.destinations import Destination, Silence
from delivery.hits import Hit
from delivery.stages import HOUR_MS, Decision, Keep, Leave, Policy, Stages, Wait
from signals.notifier.delivery_store import DeliveryStore
from signals.notifier.digests import as_members, digests
from signals.notifier.patience import until_done


class Decided(NamedTuple):
    """What leaves, in its order, and what is written down as it is now."""

    leaving: list[Delivery]
    changed: list[Delivery]


class Deciding:
    """The stages of one destination, with a memory that outlives the process."""

    def __init__(
        self, destination: Destination, store: DeliveryStore, clock: Clock, silences: Callable[[], Iterable[Silence]]
    ) -> None:
        self._destination = destination
        self._stages = Stages(_policy(destination))
        self._store = store
        self._clock = clock
        self._silences = silences
        self._begun = False

    def change(self, destination: Destination) -> None:
        """Go on by what the destination is now."""
        self._destination = destination
        self._stages.policy = _policy(destination)
        self._begun = False

    async def recall(self, rules: Iterable[str]) -> None:
        """Know what last left about `rules`.

        Raises:
            TryLater: MongoDB, which remembers, is away.
        """
        name = self._destination.name
        if not self._begun and self._destination.limit_per_hour:
            self._stages.recall_sent(await self._store.left_since(name, self._clock.now_ms() - HOUR_MS))
        self._begun = True
        for rule in rules:
            if not self._stages.knows(rule):
                left = await self._store.last_left(name, rule)
                self._stages.recall(rule, left.at, left.window_until)

    def decide(self, new: Sequence[Delivery]) -> Decided:
        """What becomes of `new`, in their order; their rules were recalled."""
        leaving, changed, silences = list[Delivery](), list[Delivery](), list(self._silences())
        for one in new:
            decided = _after(one, self._stages.decide(hit_of(one), silences))
            (leaving if decided.state is DeliveryState.NEW else changed).append(decided)
        return Decided(leaving, changed)

    async def release(self, held: Sequence[Delivery]) -> Decided:
        """Let what has waited leave in a digest, or wait once more; a digest is stored when it is returned."""
        now_ms = self._clock.now_ms()
        members = await self._made_before(held)
        known = {member.id for member in members}
        waiting = [one for one in held if one.id not in known]
        put_off = self._stages.put_off({one.severity for one in waiting}, now_ms) if waiting else None
        if put_off is not None:
            return Decided([], [*members, *(_waiting(one, put_off) for one in waiting)])
        made = digests(waiting, self._destination.kind, now_ms)
        fresh = await until_done(partial(self._store.insert, made))
        leaving = [one for one in made if one.id in fresh]
        if made:
            self._stages.left({one.rule for one in waiting}, now_ms)
        members += [member for one in leaving for member in as_members(one, waiting, now_ms)]
        if len(leaving) < len(made):  # an answer was lost, and what was stored lies in MongoDB
            members += await self._made_before(waiting)
        return Decided(leaving, list({member.id: member for member in members}.values()))

    async def _made_before(self, held: Sequence[Delivery]) -> list[Delivery]:
        """Those of `held` that are in a digest whose maker ended before all of them were written down.

        The digest lies in MongoDB and will be found there: they leave in it alone.
        """
        oldest = min((one.created_at for one in held), default=0)
        made = await until_done(partial(self._store.digests_since, self._destination.name, oldest))
        members = [member for one in made for member in as_members(one, held, one.created_at)]
        for member in members:
            self._stages.recall(member.rule, member.left_at or 0, None)
        return members


def hit_of(delivery: Delivery) -> Hit:
    """What the stages ask of a delivery: the moment is that at which it was made."""
    return Hit(
        at=delivery.created_at,
        rule=delivery.rule,
        severity=delivery.severity,
        stream=delivery.stream or Stream.B,
        a_id=delivery.a_id or "",
        cooldown_ms=delivery.cooldown_seconds * 1000,
        group_ms=delivery.group_seconds * 1000,
    )


def _policy(destination: Destination) -> Policy:
    return Policy(destination.name, destination.limit_per_hour, destination.mute)


def _after(delivery: Delivery, decision: Decision) -> Delivery:
    match decision:
        case Leave(window_until):
            return msgspec.structs.replace(delivery, left_at=delivery.created_at, window_until=window_until)
        case Wait(until):
            return _waiting(delivery, until)
        case Keep(state, why):
            return closed(delivery, state, why)


def _waiting(delivery: Delivery, until: int) -> Delivery:
    return msgspec.structs.replace(delivery, state=DeliveryState.HELD, due_at=until, claimed_by=None, claimed_until=0)


def closed(delivery: Delivery, state: DeliveryState, why: str) -> Delivery:
    """`delivery`, with nothing more to be done about it."""
    return msgspec.structs.replace(delivery, state=state, detail=why, due_at=None, claimed_by=None, claimed_until=0)
