"""Starting a client of the log, and finding out why Kafka did not let it in.

aiokafka keeps that to itself: whatever went wrong on the way to a first broker, it tells of a connection that did not
come about.
"""

from contextlib import suppress
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection, collect_hosts, create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaError,
    NoError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.admin import SaslHandShakeRequest

from common.errors import CannotStart, TryLater
from common.kafka.connection import CERTIFICATE_VARIABLE, client_options, translated
from common.settings import KafkaSettings
from common.tls import Way, check_way

_WITHIN_MS: Final = 3_000
_REFUSED: Final = (SaslAuthenticationFailed, UnsupportedSaslMechanismError, IllegalSaslStateError)
_LOGIN_ASKED_FOR: Final = {NoError.errno, UnsupportedSaslMechanismError.errno}
_AWAY: Final = (KafkaError, OSError, TimeoutError)


async def started(client: Any, settings: KafkaSettings, doing: str) -> None:
    """Start `client`, one of aiokafka's.

    Raises:
        CannotStart: a broker answers that does not let us in, or cannot serve us.
        TryLater: no broker answers.
    """
    try:
        with translated(doing):
            await client.start()
    except TryLater:
        await _explain(settings)
        raise


async def _explain(settings: KafkaSettings) -> None:
    """Raise what waiting would not mend."""
    addresses = [(host, port) for host, port, _ in collect_hosts(settings.kafka_bootstrap, randomize=False)]
    context = client_options(settings).get("ssl_context")
    switch, ca_variable = "TWINSTREAM_KAFKA_TLS=true", "TWINSTREAM_KAFKA_CA_FILE"
    way = Way("Kafka", addresses, context, switch, ca_variable, CERTIFICATE_VARIABLE)
    await check_way(way, _answers_plainly)
    for host, port in addresses:
        await _check_login(settings, host, port)


async def _check_login(settings: KafkaSettings, host: str, port: int) -> None:
    options = client_options(settings) | {"request_timeout_ms": _WITHIN_MS}
    del options["bootstrap_servers"]
    try:
        connection = await create_conn(host, port, **options)
    except _REFUSED as error:
        login = f"{settings.kafka_username} by {settings.kafka_sasl_mechanism}"
        raise CannotStart(f"Kafka at {host}:{port} does not let {login} in: {error}", "not_let_in") from None
    except _AWAY:
        return
    try:
        wanting = settings.kafka_sasl_mechanism == "none" and await _wants_login(connection)
    finally:
        connection.close()
    if wanting:
        hint = "set TWINSTREAM_KAFKA_SASL_MECHANISM, TWINSTREAM_KAFKA_USERNAME and TWINSTREAM_KAFKA_PASSWORD"
        raise CannotStart(f"Kafka at {host}:{port} lets in who logs in alone: {hint}", "not_let_in")


async def _wants_login(connection: AIOKafkaConnection) -> bool:
    """Whether it takes up an offer to log in; a broker that lets everybody in refuses it."""
    with suppress(*_AWAY):
        answer = await connection.send(SaslHandShakeRequest("PLAIN"))
        return answer.error_code in _LOGIN_ASKED_FOR
    return False


async def _answers_plainly(host: str, port: int) -> bool:
    with suppress(*_AWAY):
        (await create_conn(host, port, request_timeout_ms=_WITHIN_MS)).close()
        return True
    return False
