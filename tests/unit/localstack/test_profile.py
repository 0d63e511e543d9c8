"""Where data lies and which ports are used."""

from pathlib import Path

import pytest

from aggregates.settings import AggregatesSettings
from common.errors import CannotStart
from common.settings import load
from localstack.profile import DEFAULT_PORTS, ROOT, Profile, port_variable, profile_from_environment
from localstack.servers import servers
from localstack.services import services


@pytest.fixture(autouse=True)
def _clean(monkeypatch) -> None:
    monkeypatch.delenv("TWINSTREAM_HOME", raising=False)
    for name in DEFAULT_PORTS:
        monkeypatch.delenv(port_variable(name), raising=False)


def test_data_lies_beside_the_project(monkeypatch) -> None:
    """Unless the environment says otherwise, from wherever the command is called."""
    assert profile_from_environment().home == ROOT / ".twinstream"
    monkeypatch.setenv("TWINSTREAM_HOME", "elsewhere")
    assert profile_from_environment().home == Path.cwd() / "elsewhere"
    monkeypatch.setenv("TWINSTREAM_HOME", "~/elsewhere")
    assert profile_from_environment().home == Path.home() / "elsewhere"


def test_a_port_can_be_changed(monkeypatch) -> None:
    """Everyone who needs it is told the new one."""
    monkeypatch.setenv("TWINSTREAM_KAFKA_PORT", "19092")
    profile = profile_from_environment()
    assert profile.environment()["TWINSTREAM_KAFKA_BOOTSTRAP"] == "127.0.0.1:19092"
    assert profile.ports["mongo"] == 27017


@pytest.mark.parametrize("wrong", ["0", "65536", "-1", "9092.0", "kafka", "٩"])
def test_what_is_no_port_is_refused_by_its_variable(monkeypatch, wrong: str) -> None:
    """At once, not by a server that does not start."""
    monkeypatch.setenv("TWINSTREAM_MONGO_PORT", wrong)
    with pytest.raises(CannotStart, match=f"TWINSTREAM_MONGO_PORT: '{wrong}'"):
        profile_from_environment()


def test_the_secret_is_made_once_and_for_this_user_alone(tmp_path) -> None:
    """32 random bytes in hex; cursors stay valid over restarts."""
    first = Profile(tmp_path / "new").environment()["TWINSTREAM_SECRET"]
    assert len(bytes.fromhex(first)) == 32
    assert Profile(tmp_path / "new").environment()["TWINSTREAM_SECRET"] == first
    assert (tmp_path / "new" / "secret").stat().st_mode & 0o777 == 0o600
    assert Profile(tmp_path / "other").environment()["TWINSTREAM_SECRET"] != first


def test_no_two_processes_want_one_port(tmp_path) -> None:
    """Each is known by a name that the profile has, so that a message can name the setting."""
    profile = Profile(tmp_path)
    processes = [*servers(profile, ()), *services(profile)]
    wanted = [name for process in processes for name in process.ports]
    assert len(wanted) == len(set(wanted))
    assert set(wanted) <= set(DEFAULT_PORTS)
    assert len({process.name for process in processes}) == len(processes)


def test_every_process_has_a_log_and_a_folder_of_its_own(tmp_path) -> None:
    """All of it in the one folder that can be deleted."""
    profile = Profile(tmp_path)
    logs = [process.log for process in (*servers(profile, ()), *services(profile))]
    assert len(logs) == len(set(logs))
    assert all(log.is_relative_to(profile.home) for log in logs)


def test_what_a_terminal_was_used_for_does_not_reach_the_local_servers(tmp_path, monkeypatch) -> None:
    """They ask nobody for a password, and speak no TLS: services of `up` are told so whatever else is set."""
    for name, value in {"KAFKA_TLS": "true", "KAFKA_SASL_MECHANISM": "PLAIN", "REDIS_CLUSTER": "true"}.items():
        monkeypatch.setenv(f"TWINSTREAM_{name}", value)
    monkeypatch.setenv("TWINSTREAM_SECRETS_DIR", str(tmp_path / "nowhere"))
    for name, value in Profile(tmp_path).environment().items():
        monkeypatch.setenv(name, value)
    settings = load(AggregatesSettings)
    assert (settings.kafka_tls, settings.kafka_sasl_mechanism, settings.redis_cluster) == (False, "none", False)
