"""How far the two halves of signals are, for whoever waits for what is found in records that were sent."""

import asyncio
from collections.abc import Collection

from common.contracts import ALERTS, SCAN, position_id
from common.kafka.batches import Partition
from common.kafka.group_offsets import GroupOffsets
from common.kafka.replay import Replay
from common.kafka.topics import count_partitions
from common.receipts import Offsets
from common.settings import KafkaSettings


class AlertLog:
    """Asks Kafka what the scanner has looked at and what it has written; connects when it is first asked."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._committed = GroupOffsets(settings, SCAN)
        self._alone = asyncio.Lock()  # neither client below starts twice
        self._replay: Replay | None = None
        self._partitions: list[Partition] = []

    async def stop(self) -> None:
        await self._committed.stop()
        if self._replay is not None:
            await self._replay.stop()

    async def scanned(self, names: Collection[str]) -> dict[str, int]:
        """The next offset that the scanner will look at, by `position_id`; those it has not begun are left out.

        Raises:
            TryLater: Kafka cannot be reached.
        """
        async with self._alone:
            found = await self._committed.read([_partition(name) for name in names])
        return {position_id(*partition): offset for partition, offset in found.items()}

    async def written(self) -> Offsets:
        """The last offset of each partition of the alerts that has any.

        Raises:
            TryLater: Kafka cannot be reached.
        """
        async with self._alone:
            replay = self._replay or await self._started()
            ends = await replay.ends(self._partitions)
        return {(ALERTS, partition.number): end - 1 for partition, end in ends.items() if end}

    async def _started(self) -> Replay:
        replay = Replay(self._settings)
        try:
            await replay.start()
            numbers = range(await count_partitions(self._settings, ALERTS))
        except BaseException:
            await replay.stop()
            raise
        self._replay, self._partitions = replay, [Partition(ALERTS, number) for number in numbers]
        return replay


def _partition(name: str) -> Partition:
    """What `position_id` made the name of."""
    topic, _, number = name.rpartition("/")
    return Partition(topic, int(number))
