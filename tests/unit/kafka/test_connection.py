"""What a failure of Kafka's asks of whoever meets it: to wait, or to change what does not fit."""

import pytest
from aiokafka import errors

from common.errors import CannotStart, TryLater
from common.kafka.connection import translated
from common.kafka.producer import Producer
from common.settings import KafkaSettings, load


@pytest.mark.parametrize(
    "error",
    [
        errors.UnsupportedCodecError("zstd"),
        errors.UnrecognizedBrokerVersion("0.7"),
        errors.IncompatibleBrokerVersion("0.10"),
        errors.UnsupportedVersionError("no idempotent writes"),
        errors.AuthenticationFailedError("who?"),
        errors.TopicAuthorizationFailedError("records.a"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_no_waiting_mends_stops_the_start(error: Exception) -> None:
    """It says what was asked for, and what Kafka said to it."""
    with pytest.raises(CannotStart, match=f"Kafka refused the start: {type(error).__name__}"), translated("the start"):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        errors.KafkaConnectionError("gone"),
        errors.KafkaTimeoutError(),
        errors.NotEnoughReplicasError(),
        OSError("reset"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_passes_is_waited_for(error: Exception) -> None:
    """Whoever is told learns the kind alone: the rest may name hosts."""
    with pytest.raises(TryLater, match=type(error).__name__) as told, translated("a write"):
        raise error
    assert "gone" not in str(told.value)


def test_an_unknown_compression_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """And with what would be right."""
    monkeypatch.setenv("TWINSTREAM_COMPRESSION", "brotli")
    with pytest.raises(CannotStart, match=r"TWINSTREAM_COMPRESSION .*'none', 'gzip', 'lz4' or 'zstd'"):
        load(KafkaSettings)


async def test_a_compression_that_is_not_installed_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiokafka looks for its library when a producer is made."""
    monkeypatch.setattr("aiokafka.producer.producer.AIOKafkaProducer._COMPRESSORS", {"zstd": (lambda: False, 4)})
    with pytest.raises(CannotStart, match="refused its options"):
        Producer(KafkaSettings(compression="zstd"))
