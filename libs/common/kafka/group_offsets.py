"""Where a consumer group stands, as it committed it itself: the position of a worker whose results are in Kafka too."""

from collections.abc import Collection, Mapping

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from common.errors import TryLater
from common.kafka.batches import Partition
from common.kafka.connection import client_options, translated
from common.kafka.starting import started
from common.settings import KafkaSettings


class GroupOffsets:
    """Reads what the group committed; connects when it is first asked, and anew after a failure."""

    def __init__(self, settings: KafkaSettings, group: str) -> None:
        self._settings = settings
        self._group = settings.topic_prefix + group
        self._admin: AIOKafkaAdminClient | None = None

    async def stop(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            await admin.close()

    async def read(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """The next offset to read of each of `partitions`; those that were never committed are left out.

        Raises:
            TryLater: Kafka cannot be reached, or has not read its own offsets yet.
        """
        prefix = self._settings.topic_prefix
        asked = {TopicPartition(prefix + partition.topic, partition.number): partition for partition in partitions}
        try:
            with translated(f"a look at the offsets of {self._group}"):
                admin = await self._connected()
                found = await admin.list_consumer_group_offsets(self._group, partitions=list(asked))
        except BaseException:
            await self.stop()
            raise
        if not asked.keys() <= found.keys():  # a coordinator that is still loading answers so
            raise TryLater(f"Kafka does not know the offsets of {self._group} yet")
        return {partition: found[tp].offset for tp, partition in asked.items() if found[tp].offset >= 0}

    async def _connected(self) -> AIOKafkaAdminClient:
        if self._admin is None:
            admin = AIOKafkaAdminClient(**client_options(self._settings))
            try:
                await started(admin, self._settings, f"a look at the offsets of {self._group}")
            except BaseException:
                await admin.close()
                raise
            self._admin = admin
        return self._admin
