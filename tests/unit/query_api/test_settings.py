"""The settings refuse a start that would go wrong later, and say what to change."""

import pytest

from common.errors import CannotStart
from common.settings import load
from query_api.settings import QueryApiSettings

SECRET = "0123456789abcdefABCDEF" + "0" * 42


def test_reads_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hex digits, at least 32 bytes."""
    monkeypatch.setenv("TWINSTREAM_SECRET", SECRET)
    settings = load(QueryApiSettings)
    assert settings.secret_bytes == bytes.fromhex(SECRET)
    assert (settings.query_api_port, settings.query_api_metrics_port) == (8000, 9100)


def test_never_prints_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings end up in logs sooner or later."""
    monkeypatch.setenv("TWINSTREAM_SECRET", SECRET)
    assert SECRET not in repr(load(QueryApiSettings))


@pytest.mark.parametrize(
    "secret", ["", "0" * 63, "0" * 62, "0" * 65, "g" * 64, "0x" + "0" * 64, " " * 64, "\u0660" * 64]
)
def test_a_bad_secret_stops_the_start(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    """The name of the variable and what it needs are told; what was in it is not."""
    monkeypatch.setenv("TWINSTREAM_SECRET", secret)
    with pytest.raises(CannotStart, match=r"TWINSTREAM_SECRET .*at least 32 random bytes") as refusal:
        load(QueryApiSettings)
    assert not secret.strip() or secret not in str(refusal.value)


def test_no_secret_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no default that everyone would know."""
    monkeypatch.delenv("TWINSTREAM_SECRET", raising=False)
    with pytest.raises(CannotStart, match="TWINSTREAM_SECRET"):
        load(QueryApiSettings)
