"""One destination's lane: what is decided about its deliveries, in their order, and what leaves.

A lane has one owner at a time, see `dispatcher`. MongoDB is its queue. Decisions go by the moment at which a delivery
was made, not by when it is looked at, so a lane that is taken over decides as its former owner would have.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import partial
from random import random
from typing import Final, NamedTuple

import msgspec
import structlog

from common import metrics
from common.alerts import StoredAlert
from common.clock import Clock
from common.deliveries import Attempt, Delivery, DeliveryKind, DeliveryState, DestinationHealth, delivery_id
from common.destinations import Destination, DestinationKind, Silence
from common.errors import TryLater
from common.kafka.control import ControlTable, Versioned
from signals.notifier.deciding import Deciding, closed
from signals.notifier.delivery_spans import tell_attempt
from signals.notifier.hand import Hand, in_order
from signals.notifier.mongo import SERVICE
from signals.notifier.notices import notice_of
from signals.notifier.outcomes import Outcome, Sender, Verdict, settled
from signals.notifier.pace import Pace
from signals.notifier.patience import until_done, until_ended
from signals.notifier.reading import Erasures
from signals.notifier.sending import Hands, Sending
from signals.notifier.settings import NotifierSettings
from signals.notifier.store import Store
from signals.notifier.told import Told
from signals.notifier.vitals import Vitals
from signals.notifier.writing import Writing

log = structlog.get_logger()

_DISABLED: Final = "the destination is disabled"


class LaneParts(NamedTuple):
    """What all lanes of a process work with."""

    me: str  # names this process in claims
    store: Store
    control: ControlTable
    writing: Writing
    clock: Clock
    settings: NotifierSettings


class Lane:
    """Delivers to one destination until it is stopped."""

    def __init__(self, entry: Versioned[Destination], parts: LaneParts, sender: Sender, pace: Pace) -> None:
        self.entry = entry
        self._parts = parts
        self._store = parts.store.deliveries
        self._sender = sender
        self._pace = pace
        self._hand = Hand(self.name, parts.me, self._store, parts.clock, parts.settings)
        self._deciding = Deciding(entry.value, self._store, parts.clock, self._silences)
        at_once = parts.settings.send_at_once if entry.value.kind is DestinationKind.WEBHOOK else 1
        self._awake = asyncio.Event()
        hands = Hands(self._hold, self._attempt, self._settle, self._progress, self._drop, self._awake.set)
        self._sending = Sending(hands, parts.clock, pace, at_once)
        self._told = Told(parts.store)
        self._vitals: Vitals | None = None
        self._work: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self.entry.value.name

    def start(self) -> None:
        self._work = asyncio.create_task(self._run(), name=f"lane {self.name}")

    async def stop(self) -> None:
        """Finish what is on its way, and leave the rest to whoever comes next."""
        if self._work is not None:
            await until_ended(self._work)
        self._sending.forget()
        await self._sending.finish(self._parts.settings.lease_ms / 1000)
        with suppress(TryLater):
            await self._store.release(self.name, self._parts.me)

    def check(self) -> None:
        """Raise what ended the lane, if anything did: a fault of ours, and the process must not live on without it."""
        if self._work is not None and self._work.done():
            self._work.result()
        self._sending.check()

    def change(self, entry: Versioned[Destination]) -> None:
        """Go on by what the destination is now."""
        self.entry, self._vitals = entry, None
        self._deciding.change(entry.value)
        self._awake.set()

    def expect(self, id_: str) -> None:
        """A delivery is about to be stored, claimed for us; it will be offered."""
        self._hand.expect(id_)

    def expect_no_more(self, ids: Collection[str]) -> None:
        """It was offered, or will never be."""
        self._hand.expect_no_more(ids)

    def offer(self, deliveries: Sequence[Delivery], alerts: Sequence[StoredAlert]) -> None:
        """Take deliveries that were just stored, claimed for us."""
        if self._hand.offer(deliveries):
            self._told.keep(alerts)
        self._awake.set()

    def look(self) -> None:
        """Look into MongoDB at once: others have stored something for us."""
        if self._hand.look():
            self._awake.set()

    def erase(self, erasures: Erasures) -> None:
        """Records were erased: what is to be told of them is looked up again."""
        self._told.erase(erasures)

    # --- turns ------------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            self._awake.clear()
            try:
                await self._turn()
            except TryLater as error:
                metrics.STORE_FAILURES.labels(SERVICE).inc()
                log.warning("lane_waits", destination=self.name, detail=str(error))
                self._awake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._rest_s()):
                    await self._awake.wait()

    def _rest_s(self) -> float:
        """Until something may be sent again, but no longer than until MongoDB is to be looked into."""
        now_ms, poll_ms = self._parts.clock.now_ms(), self._parts.settings.notifier_poll_ms
        waits_ms = [self._pace.free_at - now_ms, self._vitals.breaker.rests_until - now_ms if self._vitals else 0]
        return min([poll_ms, *(wait for wait in waits_ms if wait > 0)]) / 1000

    async def _turn(self) -> None:
        vitals = await self._known_vitals()
        due = await self._hand.take()
        try:
            if any(one.state is DeliveryState.HELD for one in due):
                due += await self._hand.take_held()
            await self._go_on(due, vitals)
        except TryLater:
            self._hand.give_back(due)
            raise

    async def _go_on(self, due: Sequence[Delivery], vitals: Vitals) -> None:
        refusal = self._refusal(vitals)
        if refusal is not None:
            await self._refuse([one for one in due if one.kind is not DeliveryKind.TEST], refusal)
            due = [one for one in due if one.kind is DeliveryKind.TEST]
        new = [one for one in due if one.state is DeliveryState.NEW]
        held = sorted((one for one in due if one.state is DeliveryState.HELD), key=in_order)
        await self._deciding.recall({one.rule for one in (*new, *held)})  # from here on nothing fails
        decided = self._deciding.decide(new)
        pending = [one for one in due if one.state is DeliveryState.PENDING]
        for delivery in (*decided.leaving, *(one for one in pending if not one.members)):
            self._sending.add(delivery)
        self._sending.start(vitals.breaker)
        await self._save(decided.changed)
        if held:
            await self._release(held)
        for digest in (one for one in pending if one.members):  # their members may have been among the held
            self._sending.add(digest)
        self._sending.start(vitals.breaker)

    async def _release(self, held: Sequence[Delivery]) -> None:
        released = await self._deciding.release(held)
        await self._save(released.changed)
        self._hand.drop([one.id for one in held])
        for digest in released.leaving:
            self._hand.keep(digest)
            self._sending.add(digest)

    # --- vitals -----------------------------------------------------------------------------------------------------

    async def _known_vitals(self) -> Vitals:
        if self._vitals is None:
            version = self.entry.version
            health = await self._store.health(self.name)
            if health is None or health.version != version:
                health = DestinationHealth(id=self.name, version=version, changed_at=self._parts.clock.now_ms())
            self._vitals = Vitals(health, self._put_health, self._parts.clock, self._parts.settings)
            self._pace.pause_until(health.paused_until)
        return self._vitals

    async def _put_health(self, health: DestinationHealth) -> None:
        await until_done(partial(self._store.put_health, health))

    def _refusal(self, vitals: Vitals) -> str | None:
        """Why nothing is sent, or None."""
        if vitals.health.disabled_at is not None:
            return f"{_DISABLED}: {vitals.health.last_error}"
        return None if self.entry.value.enabled else _DISABLED

    async def _refuse(self, due: Sequence[Delivery], why: str) -> None:
        await self._save([closed(one, DeliveryState.FAILED, why) for one in (*due, *self._sending.forget())])

    async def _give_up(self, vitals: Vitals, why: str) -> None:
        """Send nothing more until the destination is written anew, and tell another one; what waits is given up."""
        if vitals.health.disabled_at is None:
            log.error("destination_given_up", destination=self.name, why=why)
            await self._tell_another(why)  # first: whoever ends before the rest is done does all of it again
            await vitals.disable(why)
            metrics.DESTINATIONS_GIVEN_UP.labels(self.entry.value.kind).inc()
        await until_done(partial(self._store.abandon, self.name, self._refusal(vitals) or why, unclaimed=True))
        self._awake.set()

    async def _tell_another(self, why: str) -> None:
        all_, now_ms = self._parts.control.of(Destination), self._parts.clock.now_ms()
        notice = notice_of(self.entry, why, all_, await until_done(self._store.given_up), now_ms)
        if notice is not None:
            await until_done(partial(self._store.insert, [notice]))
            since_ms = now_ms if self._vitals is None else self._vitals.health.failing_since or now_ms
            await until_done(partial(self._store.pass_notices_on, self.name, notice.destination, since_ms, now_ms))

    # --- sending ----------------------------------------------------------------------------------------------------

    async def _hold(self, delivery: Delivery) -> bool:
        return await until_done(partial(self._hand.hold, delivery))

    def _drop(self, delivery: Delivery) -> None:
        self._hand.drop([delivery.id])
        self._told.drop([delivery.alert])

    async def _attempt(self, delivery: Delivery) -> Outcome:
        alerts = await self._told.of(delivery)
        if alerts is None:
            return Outcome(Verdict.UNREADY, None)
        left = [alert for alert in alerts if alert.erased_by is None]
        if alerts and not left:
            return Outcome(Verdict.ERASED, None)
        shown = msgspec.structs.replace(delivery, total=delivery.total - (len(alerts) - len(left)))
        try:
            outcome = await self._sender.send(self.entry.value, shown, left)
        except Exception as error:  # a message that we fail at must not stop all others
            log.exception("internal_error", delivery=delivery.id)
            failure = Attempt(at=self._parts.clock.now_ms(), latency_ms=0, error=f"a fault of ours: {error!r}"[:200])
            return Outcome(Verdict.UNREADY, failure)
        tell_attempt(self.entry.value, delivery, outcome, self._parts.settings.slack_base_url)
        return outcome

    async def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        now_ms = self._parts.clock.now_ms()
        after = settled(delivery, outcome, now_ms, random, self._parts.settings.wait_factor)
        metrics.DELIVERY_ATTEMPTS.labels(self.entry.value.kind, outcome.verdict).inc()
        await self._save([after])
        if outcome.verdict is Verdict.ARRIVED:
            metrics.DELIVERY_AGE.labels(self.entry.value.kind).observe(max(0, now_ms - delivery.created_at) / 1000)
        vitals = self._vitals
        if vitals is None or delivery.kind is DeliveryKind.TEST:
            return
        why = await vitals.note(outcome)
        if why is not None and vitals is self._vitals:
            await self._give_up(vitals, why)

    async def _progress(self, delivery: Delivery, outcome: Outcome) -> None:
        """Write down what has arrived of a message, so that it is not sent again whatever happens."""
        metrics.DELIVERY_ATTEMPTS.labels(self.entry.value.kind, outcome.verdict).inc()
        await self._parts.writing.save([delivery])
        if outcome.verdict is Verdict.PAUSED and self._vitals is not None:
            await self._vitals.pause(self._pace.free_at)

    async def _save(self, deliveries: Sequence[Delivery]) -> None:
        """Write deliveries as they are now, after which they are out of our hands.

        Members come before their digest: whoever ends between the two leaves it open, and it is settled once more.
        """
        for one in deliveries:
            if one.members and one.due_at is None:
                await self._save_members(one)
        if deliveries:
            await self._parts.writing.save(deliveries)
            given_up = sum(
                one.state is DeliveryState.FAILED and one.kind is not DeliveryKind.TEST for one in deliveries
            )
            metrics.DELIVERIES_GIVEN_UP.labels(self.entry.value.kind).inc(given_up)
            self._hand.drop([one.id for one in deliveries])
            self._told.drop([one.alert for one in deliveries])

    async def _save_members(self, digest: Delivery) -> None:
        fields = {"state": digest.state.value, "delivered_at": digest.delivered_at, "detail": digest.detail}
        ids = [delivery_id(alert, self.name) for alert in digest.members]
        await until_done(partial(self._store.save_members, digest.id, ids, fields))

    def _silences(self) -> list[Silence]:
        return [entry.value for entry in self._parts.control.of(Silence)]
