"""Keeps alerts with their deliveries: the handler of a batch."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from common import metrics
from common.alerts import Alert, StoredAlert
from common.clock import Clock
from common.deliveries import Delivery, DeliveryState
from common.kafka.batches import Batch, Partition
from signals.notifier.dispatcher import Dispatcher
from signals.notifier.documents import Keeping, after_days, deliveries, erased, stored
from signals.notifier.reading import Read
from signals.notifier.store import Store


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
        now_ms, read = self._clock.now_ms(), Read.of(batch.entries)
        if read.erasures:
            await self._store.erasing.erase(read.erasures.values(), now_ms)
            self._dispatcher.erase(read.erasures)
        fresh = await self._fresh(read)
        documents = [stored(alert, now_ms, self._keeping) for alert in fresh]
        erasures = {alert.id: read.erasure_of(alert) for alert in fresh}
        made = [
            self._dispatcher.claimed(delivery, now_ms)
            for alert, document in zip(fresh, documents, strict=True)
            if erasures[alert.id] is None  # else nobody may be told
            for delivery in deliveries(alert, document, now_ms, self._keeping)
        ]
        try:
            inserted = await self._store.deliveries.insert(made)
            await self._store.insert_alerts([erased(one, erasures[one.id], now_ms) for one in documents])
            await self._hand_over([one for one in made if one.id in inserted], documents)
        finally:
            self._dispatcher.expect_no_more([one.id for one in made])
        expires = after_days(now_ms, self._keeping.alerts_days)
        await self._store.hits.count(batch.partition, read.places, batch.next_position, expires)
        await self._store.move(batch.partition, batch.position, batch.next_position)
        self._count(len(read.places), fresh)

    async def _fresh(self, read: Read) -> list[Alert]:
        """Those that are not stored, each id once; what was sent again behind its erasure is raised anew."""
        alerts = read.distinct()
        known = await self._store.known_alerts(alerts) if alerts else {}
        for alert in [one for one in alerts.values() if _is_anew(one, known.get(one.id))]:
            await self._store.erasing.forget([alert.id], alert.destinations)
            del known[alert.id]
        return [alert for alert in alerts.values() if alert.id not in known]

    async def _hand_over(self, made: Sequence[Delivery], documents: Sequence[StoredAlert]) -> None:
        by_destination: dict[str, list[Delivery]] = defaultdict(list)
        for delivery in made:
            if delivery.state is DeliveryState.NEW:
                by_destination[delivery.destination].append(delivery)
        for destination, its in by_destination.items():
            alerts = {delivery.alert for delivery in its}
            await self._dispatcher.offer(destination, its, [one for one in documents if one.id in alerts])

    def _count(self, taken: int, fresh: Sequence[Alert]) -> None:
        for alert in fresh:
            metrics.ALERTS.labels(alert.stream, alert.severity).inc()
        metrics.ALERTS_REPEATED.inc(taken - len(fresh))


def _is_anew(alert: Alert, erased_by: int | None) -> bool:
    return erased_by is not None and alert.offset > erased_by
