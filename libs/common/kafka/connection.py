"""How every client of the log connects, and what its failures mean: the one translation of aiokafka's errors."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiokafka import errors

from common.errors import CannotStart, TryLater
from common.settings import KafkaSettings

_MISCONFIGURED = (
    errors.UnsupportedCodecError,
    errors.UnrecognizedBrokerVersion,
    errors.IncompatibleBrokerVersion,
    errors.UnsupportedVersionError,
    errors.AuthenticationMethodNotSupported,
    errors.AuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
)


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Options that producer, consumer and admin client share."""
    return {
        "bootstrap_servers": settings.kafka_bootstrap,
        "request_timeout_ms": settings.kafka_timeout_ms,
    }


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn aiokafka's exceptions into ours.

    Raises:
        CannotStart: waiting would not help: versions, compression or permissions do not fit.
        TryLater: Kafka is away, slow or electing a leader.
    """
    try:
        yield
    except _MISCONFIGURED as error:
        raise CannotStart(f"Kafka refused {doing}: {error!r}") from error
    except (errors.KafkaError, OSError, ssl.SSLError) as error:
        # Callers are told the kind alone: the rest names hosts. It is logged with the answer.
        raise TryLater(f"Kafka did not take part in {doing} ({type(error).__name__})") from error
