"""The topics: made with the right configuration by whoever sets up, only checked by everyone else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from common.contracts import TOPICS
from common.errors import CannotStart, TryLater
from common.kafka.connection import client_options, translated
from common.kafka.starting import started
from common.settings import KafkaSettings


async def ensure_topics(settings: KafkaSettings, *, partitions: int, replication: int = 1) -> list[str]:
    """Create the topics that are missing; returns their names. Those that exist are left as they are."""
    async with _admin(settings, "the creation of topics") as admin:
        existing = set(await admin.list_topics())
        missing = [
            NewTopic(
                settings.topic_prefix + topic.name,
                num_partitions=partitions if topic.partitioned else 1,
                replication_factor=replication,
                topic_configs={**topic.config, "max.message.bytes": str(settings.max_message_bytes)},
            )
            for topic in TOPICS
            if settings.topic_prefix + topic.name not in existing
        ]
        _check(await admin.create_topics(missing) if missing else None)
        return [topic.name for topic in missing]


async def list_topics(settings: KafkaSettings) -> set[str]:
    """All topics that there are, by their full names.

    Raises:
        TryLater: Kafka cannot be reached.
    """
    async with _admin(settings, "a look at its topics") as admin:
        return set(await admin.list_topics())


async def count_partitions(settings: KafkaSettings, topic: str) -> int:
    """How many partitions `topic`, named without prefix, has.

    Raises:
        TryLater: Kafka cannot be reached, or does not have it yet.
    """
    async with _admin(settings, f"a look at {topic}") as admin:
        (described,) = await admin.describe_topics([settings.topic_prefix + topic])
    partitions = len(described["partitions"])
    if not partitions:
        raise TryLater(f"Kafka has no topic {topic} yet")
    return partitions


async def check_topics(settings: KafkaSettings) -> None:
    """Make sure at a start that the topics are there, rather than find out at the first record.

    Raises:
        CannotStart: one is missing; says which and how to make it.
        TryLater: Kafka cannot be reached.
    """
    existing = await list_topics(settings)
    missing = [name for topic in TOPICS if (name := settings.topic_prefix + topic.name) not in existing]
    if missing:
        raise CannotStart(f"Kafka has no topic {', '.join(missing)}: run `twinstream init` once, it makes them")


@asynccontextmanager
async def _admin(settings: KafkaSettings, doing: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that may ask for and make topics, for as long as it is needed."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await started(admin, settings, doing)
        with translated(doing):
            yield admin
    finally:
        await admin.close()


def _check(response: object) -> None:
    """Raise what went wrong with a topic, other than that someone was faster."""
    for name, code, *message in getattr(response, "topic_errors", ()):
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise TryLater(f"Kafka did not create {name}: {error.__name__} {message}")
