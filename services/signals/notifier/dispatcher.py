"""Who delivers where: each destination has one lane, in the notifier that has its partition of `alerts`.

Kafka's group gives each partition of `alerts` to one notifier, and each destination belongs to a partition: that of its
Slack channel, so that one process keeps a channel's pace, or else that of its name. Claims in MongoDB hold where two
processes disagree for a moment.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import msgspec
import structlog

from common.alerts import StoredAlert
from common.concurrency import all_of, pause
from common.contracts import partition_of
from common.deliveries import Delivery, DeliveryState
from common.destinations import Destination, DestinationKind
from common.errors import TryLater
from common.kafka.control import Versioned
from signals.notifier.lane import Lane, LaneParts
from signals.notifier.outcomes import Sender
from signals.notifier.pace import Pace
from signals.notifier.patience import until_done, until_ended
from signals.notifier.reading import Erasures

log = structlog.get_logger()

_REVIEW_EVERY_S: Final = 0.1
_SWEEP_EVERY_S: Final = 60.0
_WATCH_EVERY_S: Final = 0.05  # for what another notifier stores
_WATCHED: Final = 100  # newest deliveries
_FAREWELL_S: Final = 10.0
_NO_SUCH: Final = "there is no such destination"


class Dispatcher:
    """Starts, changes and stops lanes as partitions and destinations come and go."""

    def __init__(
        self,
        parts: LaneParts,
        senders: Mapping[DestinationKind, Sender],
        owned: Callable[[], Collection[int]],
        partitions: int,
    ) -> None:
        """`owned`: the partitions of `alerts` that are ours; `partitions`: how many there are."""
        self._parts = parts
        self._senders = senders
        self._owned = owned
        self._partitions = partitions
        self._lanes: dict[str, Lane] = {}
        self._stopping: dict[str, asyncio.Task[None]] = {}
        self._paces: dict[str, Pace] = {}
        self._unknown: set[str] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; what is on its way then is finished first."""
        watching = asyncio.create_task(self._watch(), name="watch")
        sweep_at = 0.0
        try:
            while not stop.is_set() and not watching.done():
                self._review()
                if (now := asyncio.get_running_loop().time()) >= sweep_at and self._owned():
                    await self._sweep()
                    sweep_at = now + _SWEEP_EVERY_S
                await pause(stop, _REVIEW_EVERY_S)
        finally:
            for name in list(self._lanes):
                self._stop(name)
            await all_of([*self._stopping.values(), asyncio.ensure_future(until_ended(watching))])

    def claimed(self, delivery: Delivery, now_ms: int) -> Delivery:
        """`delivery` as it is to be stored: ours from the start where its lane is ours, which then expects it."""
        lane = self._lanes.get(delivery.destination)
        if lane is None or delivery.state is not DeliveryState.NEW:
            return delivery
        lane.expect(delivery.id)
        until_ms = now_ms + self._parts.settings.lease_ms
        return msgspec.structs.replace(delivery, claimed_by=self._parts.me, claimed_until=until_ms)

    async def offer(self, destination: str, deliveries: Sequence[Delivery], alerts: Sequence[StoredAlert]) -> None:
        """Hand over what was just stored; for a lane that is not ours, its owner finds it in MongoDB.

        Raises:
            TryLater: MongoDB is away; what was claimed for a lane that has ended waits until its claim lapses.
        """
        lane = self._lanes.get(destination)
        if lane is not None:
            lane.offer(deliveries, alerts)
            return
        claimed = [one.id for one in deliveries if one.claimed_by is not None]
        await self._parts.store.deliveries.give_back(claimed, self._parts.me)

    def erase(self, erasures: Erasures) -> None:
        """Records were erased from MongoDB, by whomever; nothing of them may leave out of our memory."""
        for lane in self._lanes.values():
            lane.erase(erasures)

    def expect_no_more(self, ids: Collection[str]) -> None:
        """What was `claimed` was offered, or will never be: the lanes may fetch it."""
        for lane in self._lanes.values():
            lane.expect_no_more(ids)

    def _review(self) -> None:
        for running in self._lanes.values():
            running.check()
        wanted = {entry.value.name: entry for entry in self._parts.control.of(Destination) if self._is_ours(entry)}
        known = {entry.value.name for entry in self._parts.control.of(Destination)}
        for name in self._lanes.keys() - wanted.keys():
            self._stop(name, gone=name not in known)
        for name, entry in wanted.items():
            lane = self._lanes.get(name)
            if lane is not None and lane.entry.version != entry.version:
                self._change(lane, entry)
            elif lane is None and name not in self._stopping:
                self._start(entry)

    def _is_ours(self, entry: Versioned[Destination]) -> bool:
        return partition_of(lane_key(entry.value).encode(), self._partitions) in self._owned()

    def _change(self, lane: Lane, entry: Versioned[Destination]) -> None:
        """A lane of another kind or channel is another lane: it begins once the former one has ended."""
        if lane_key(lane.entry.value) == lane_key(entry.value):
            lane.change(entry)
        else:
            self._stop(entry.value.name)

    def _start(self, entry: Versioned[Destination]) -> None:
        destination = entry.value
        key = lane_key(destination)
        interval_ms = self._parts.settings.slack_interval_ms if destination.kind is DestinationKind.SLACK else 0
        pace = self._paces.setdefault(key, Pace(interval_ms))
        lane = Lane(entry, self._parts, self._senders[destination.kind], pace)
        lane.start()
        self._lanes[destination.name] = lane
        log.info("lane_started", destination=destination.name, version=entry.version)

    def _stop(self, name: str, *, gone: bool = False) -> None:
        task = asyncio.create_task(self._stopped(self._lanes.pop(name), gone=gone), name=f"stop {name}")
        self._stopping[name] = task
        task.add_done_callback(lambda _: self._stopping.pop(name, None))
        log.info("lane_stopped", destination=name)

    async def _stopped(self, lane: Lane, *, gone: bool) -> None:
        await lane.stop()
        if gone:
            with suppress(TimeoutError):  # then the sweep does it
                async with asyncio.timeout(_FAREWELL_S):
                    await until_done(partial(self._parts.store.deliveries.abandon, lane.name, _NO_SUCH))

    async def _watch(self) -> None:
        """Wake lanes for which another notifier has stored something; where there is none, there is nothing to do."""
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            if not 0 < len(self._owned()) < self._partitions:
                continue
            with suppress(TryLater):  # lanes look by themselves now and then, and say so
                for name in await self._parts.store.deliveries.unclaimed(_WATCHED):
                    if name in self._lanes:
                        self._lanes[name].look()

    async def _sweep(self) -> None:
        """Give up what is open for destinations that are gone: unknown twice, for news of one may be on its way."""
        try:
            open_ = await self._parts.store.deliveries.destinations_with_open()
            known = {entry.value.name for entry in self._parts.control.of(Destination)}
            unknown = set(open_) - known
            for name in unknown & self._unknown:
                await self._parts.store.deliveries.abandon(name, _NO_SUCH)
            self._unknown = unknown
        except TryLater as error:
            log.warning("sweep_waits", detail=str(error))


def lane_key(destination: Destination) -> str:
    """What destinations share that must have one owner."""
    channel = destination.channel
    return destination.name if channel is None else f"slack {channel.strip().removeprefix('#').lower()}"
