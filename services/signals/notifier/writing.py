"""Deliveries are written down many at once: waiting for the disk costs the same for one and for a hundred."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

from common.deliveries import Delivery
from signals.notifier.patience import until_done

_AT_ONCE: Final = 100

Save = Callable[[Sequence[Delivery]], Awaitable[object]]


class Writing:
    """Gathers what is to be saved while the former lot is being written."""

    def __init__(self, save: Save) -> None:
        self._save = save
        self._waiting: list[tuple[Delivery, asyncio.Future[None]]] = []
        self._work: asyncio.Task[None] | None = None

    async def save(self, deliveries: Sequence[Delivery]) -> None:
        """Write `deliveries`; returns once they are.

        Raises:
            TryLater: the store was away for longer than a notifier has patience.
        """
        written = [asyncio.get_running_loop().create_future() for _ in deliveries]
        self._waiting += zip(deliveries, written, strict=True)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._write(), name="writing")
        for one in written:
            await asyncio.shield(one)

    async def _write(self) -> None:
        while self._waiting:
            lot, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
            try:
                await until_done(partial(self._save, [delivery for delivery, _ in lot]))
            except Exception as error:  # noqa: BLE001  # whoever waits must be told, whatever it is
                for _, written in lot:
                    written.set_exception(error)
            else:
                for _, written in lot:
                    written.set_result(None)
