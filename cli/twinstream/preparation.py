"""Topics and the first key, made through Kafka."""

import asyncio
import sys
from pathlib import Path
from typing import NamedTuple

import structlog

from common.bootstrap import ensure_first_key, ensure_given_key
from common.errors import CannotStart, TryLater
from common.kafka.topics import ensure_topics
from common.process import until_available
from common.settings import KafkaSettings, load
from twinstream.errors import CliError


class Prepared(NamedTuple):
    """The topics that were missing, and whether a key was made."""

    topics: list[str]
    key: bool


async def prepare(first_key: Path | str, *, partitions: int, replication: int, patience_s: float) -> Prepared:
    """Make what is missing; Kafka is found by the environment, as the services find it.

    `first_key` is the file that holds or takes the first key, or that key itself, made elsewhere.

    Raises:
        CliError: a setting does not fit, or Kafka stayed away.
    """
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # tells of waiting
    stop = asyncio.Event()
    try:
        settings = load(KafkaSettings)
        topics = await until_available(
            lambda: ensure_topics(settings, partitions=partitions, replication=replication), stop, patience_s
        )
        key = await until_available(lambda: _ensure_key(settings, first_key), stop, patience_s)
    except CannotStart as error:
        raise CliError("A setting does not fit", str(error)) from error
    except TryLater as error:
        raise CliError("Kafka is away", f"{error}. TWINSTREAM_KAFKA_BOOTSTRAP says where it is.") from error
    return Prepared(topics, key)


async def _ensure_key(settings: KafkaSettings, first_key: Path | str) -> bool:
    if isinstance(first_key, Path):
        return await ensure_first_key(settings, first_key)
    return await ensure_given_key(settings, first_key)
