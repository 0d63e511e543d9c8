"""The alerts that messages tell of: those that were just stored are at hand, the others are looked up."""

import asyncio
from collections.abc import Collection, Sequence
from functools import partial
from typing import Final

from common.alerts import StoredAlert
from common.deliveries import Delivery
from signals.notifier.patience import until_done
from signals.notifier.reading import Erasures, erasure_of
from signals.notifier.store import Store

_WITHIN_S: Final = (0.02, 0.05, 0.1, 0.2)  # an alert is stored moments after its deliveries


class Told:
    """Of one lane."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._at_hand: dict[str, StoredAlert] = {}

    def keep(self, alerts: Sequence[StoredAlert]) -> None:
        """Have alerts at hand that are about to be told of."""
        self._at_hand |= {alert.id: alert for alert in alerts}

    def drop(self, alerts: Collection[str | None]) -> None:
        """They were told of, or are someone else's to tell of."""
        for id_ in alerts:
            self._at_hand.pop(id_ or "", None)

    def erase(self, erasures: Erasures) -> None:
        """Have nothing at hand of records that were erased."""
        self.drop(
            [one.id for one in self._at_hand.values() if erasure_of(one.stream, one.record_id, one.offset, erasures)]
        )

    async def of(self, delivery: Delivery) -> list[StoredAlert] | None:
        """The alerts that `delivery` tells of; None where they are not all stored in a moment."""
        for wait_s in _WITHIN_S:
            alerts = await until_done(partial(self._stored, delivery))
            if alerts is not None:
                return alerts
            await asyncio.sleep(wait_s)
        return await until_done(partial(self._stored, delivery))

    async def _stored(self, delivery: Delivery) -> list[StoredAlert] | None:
        ids = delivery.members or ((delivery.alert,) if delivery.alert is not None else ())
        missing = [id_ for id_ in ids if id_ not in self._at_hand]
        found = self._at_hand | (await self._store.alerts(missing) if missing else {})
        return [found[id_] for id_ in ids] if all(id_ in found for id_ in ids) else None
