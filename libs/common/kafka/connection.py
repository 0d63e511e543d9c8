"""How every client of the log connects, and what its failures mean: the one translation of aiokafka's errors."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from aiokafka import errors

from common.errors import CannotStart, TryLater
from common.settings import KafkaSettings
from common.tls import presenting, trusting

CERTIFICATE_VARIABLE: Final = "TWINSTREAM_KAFKA_CERTIFICATE_FILE"

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
    """Options that producer, consumer and admin client share.

    Raises:
        CannotStart: the file of authorities, or of our certificate, cannot be used.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap,
        "request_timeout_ms": settings.kafka_timeout_ms,
    }
    transport = "PLAINTEXT"
    if settings.kafka_tls:
        transport = "SSL"
        context = trusting(settings.kafka_ca_file, "TWINSTREAM_KAFKA_CA_FILE")
        options["ssl_context"] = presenting(context, settings.kafka_certificate_file, CERTIFICATE_VARIABLE)
    if settings.kafka_sasl_mechanism != "none":
        transport = "SASL_SSL" if settings.kafka_tls else "SASL_PLAINTEXT"
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_username
        options["sasl_plain_password"] = settings.kafka_password.get_secret_value()
    return options | {"security_protocol": transport}


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


async def close_consumer(consumer: Any) -> None:
    """Stop an `AIOKafkaConsumer`, also one that is just about to try a fetch again.

    aiokafka cancels that fetch and then lets the cancellation out as if its caller were meant (`Fetcher.close`, 0.14),
    before it has closed its connections.
    """
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        await consumer._client.close()  # noqa: SLF001  # what `stop` would have done next; it does nothing twice
