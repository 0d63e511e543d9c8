"""What must be there before the services start; doing it again changes nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from common.bootstrap import ensure_first_key
from common.kafka.topics import ensure_topics
from common.process import until_available
from common.settings import KafkaSettings
from localstack.profile import Profile

_PARTITIONS: Final = 4  # enough for as many replicas of a worker as one machine has use for

Preparation = Callable[[Profile, KafkaSettings], Awaitable[str]]
"""Does one thing; answers what it made, empty when all was there."""


async def make_topics(_profile: Profile, settings: KafkaSettings) -> str:
    made = await until_available(lambda: ensure_topics(settings, partitions=_PARTITIONS), asyncio.Event())
    return f"made the topics {', '.join(made)}" if made else ""


async def make_first_key(profile: Profile, settings: KafkaSettings) -> str:
    made = await until_available(lambda: ensure_first_key(settings, profile.key_file), asyncio.Event())
    return "made the first API key" if made else ""


PREPARATIONS: Final[tuple[Preparation, ...]] = (make_topics, make_first_key)
