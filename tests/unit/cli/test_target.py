"""Where a command finds the services and its key."""

from pathlib import Path

import pytest

from twinstream.errors import CliError
from twinstream.target import Target


def test_what_is_not_said_is_what_runs_on_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On the ports and in the folder that the environment names, else the usual ones."""
    for name in ("TWINSTREAM_QUERY_API_PORT", "TWINSTREAM_INGEST_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TWINSTREAM_HOME", str(tmp_path))
    assert Target.of(None, None, None) == Target("http://127.0.0.1:8000", "http://127.0.0.1:8001", None, tmp_path)
    monkeypatch.setenv("TWINSTREAM_QUERY_API_PORT", "8010")
    assert Target.of(None, "http://example.org", "k") == Target(
        "http://127.0.0.1:8010", "http://example.org", "k", tmp_path
    )


def test_a_port_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the name of its variable."""
    monkeypatch.setenv("TWINSTREAM_INGEST_PORT", "http")
    with pytest.raises(CliError, match="does not fit") as caught:
        Target.of(None, None, None)
    assert "TWINSTREAM_INGEST_PORT" in caught.value.detail
