"""Keeps alerts with their deliveries: the handler of a batch."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import msgspec
import structlog

from common import metrics
from common.alerts import Alert, StoredAlert
from common.clock import Clock
from common.decoding import UNREADABLE
from common.deliveries import Delivery, DeliveryState
from common.kafka.batches import Batch, Entry, Partition
from signals.notifier.dispatcher import Dispatcher
from signals.notifier.documents import Keeping, deliveries, stored
from signals.notifier.store import Store

log = structlog.get_logger()

_DECODER = msgspec.json.Decoder(Alert)


class Intake:
    """Applies batches of alerts any number of times: an id that is known changes nothing."""

    def __init__(self, store: Store, dispatcher: Dispatcher, clock: Clock, keeping: Keeping) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._clock = clock
        self._keeping = keeping

    async def positions(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        return await self._store.positions(partitions)

    async def apply(self, batch: Batch) -> None:
        """Store what `batch` holds and is not known, hand it over, and only then move the position.

        Deliveries come before their alerts: an alert that is known has all of its deliveries.

        Raises:
            TryLater: MongoDB is away; some of the batch may have been stored.
            Reposition: another notifier applied it, or MongoDB lost what came before it.
        """
        now_ms = self._clock.now_ms()
        alerts = {alert.id: alert for alert in reversed(_read(batch.entries))}  # the first of each id
        known = await self._store.known_alerts(alerts) if alerts else set()
        fresh = [alert for id_, alert in reversed(alerts.items()) if id_ not in known]
        documents = [stored(alert, now_ms, self._keeping) for alert in fresh]
        made = [
            self._dispatcher.claimed(delivery, now_ms)
            for alert, document in zip(fresh, documents, strict=True)
            for delivery in deliveries(alert, document, now_ms, self._keeping)
        ]
        try:
            inserted = await self._store.deliveries.insert(made)
            await self._store.insert_alerts(documents)
            self._hand_over([one for one in made if one.id in inserted], documents)
        finally:
            self._dispatcher.expect_no_more([one.id for one in made])
        await self._store.move(batch.partition, batch.position, batch.next_position)
        self._count(len(batch.entries), fresh)

    def _hand_over(self, made: Sequence[Delivery], documents: Sequence[StoredAlert]) -> None:
        by_destination: dict[str, list[Delivery]] = defaultdict(list)
        for delivery in made:
            if delivery.state is DeliveryState.NEW:
                by_destination[delivery.destination].append(delivery)
        for destination, its in by_destination.items():
            alerts = {delivery.alert for delivery in its}
            self._dispatcher.offer(destination, its, [one for one in documents if one.id in alerts])

    def _count(self, taken: int, fresh: Sequence[Alert]) -> None:
        for alert in fresh:
            metrics.ALERTS.labels(alert.stream, alert.severity).inc()
        metrics.ALERTS_REPEATED.inc(taken - len(fresh))


def _read(entries: Sequence[Entry]) -> list[Alert]:
    """The alerts of `entries`; what is none was written by something else than the scanner and is nobody's signal."""
    alerts = []
    for entry in entries:
        try:
            alerts.append(_DECODER.decode(entry.value or b""))
        except UNREADABLE as error:
            log.error("alert_unreadable", offset=entry.offset, detail=str(error))
    return alerts
