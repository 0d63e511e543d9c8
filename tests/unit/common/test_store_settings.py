"""Settings of the ways to the servers: what contradicts itself stops the start, and names the variable."""

from collections.abc import Mapping

import msgspec
import pytest
from pydantic import SecretStr

from aggregates.settings import AggregatesSettings
from common import mongo
from common.clock import SystemClock
from common.errors import CannotStart
from common.kafka.connection import client_options
from common.settings import KafkaSettings, MongoSettings, RedisSettings, load
from query_api.backtests import Backtests
from twinstream import repair
from windows import access

LOGIN = {"KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "KAFKA_USERNAME": "ann", "KAFKA_PASSWORD": "pa55word"}
CONTRADICTIONS: list[tuple[dict[str, str], str]] = [
    ({"KAFKA_CA_FILE": "/ca.pem"}, "KAFKA_CA_FILE .*of no use without TWINSTREAM_KAFKA_TLS=true"),
    ({**LOGIN, "KAFKA_SASL_MECHANISM": "PLAIN"}, "KAFKA_SASL_MECHANISM .*only with TWINSTREAM_KAFKA_TLS=true"),
    ({"KAFKA_SASL_MECHANISM": "GSSAPI"}, "KAFKA_SASL_MECHANISM .*'SCRAM-SHA-512'"),
    ({**LOGIN, "KAFKA_USERNAME": ""}, "KAFKA_USERNAME .*needed with TWINSTREAM_KAFKA_SASL_MECHANISM"),
    ({**LOGIN, "KAFKA_PASSWORD": ""}, "KAFKA_PASSWORD .*needed with TWINSTREAM_KAFKA_SASL_MECHANISM"),
    ({"KAFKA_PASSWORD": "pa55word"}, "KAFKA_PASSWORD .*of no use without TWINSTREAM_KAFKA_SASL_MECHANISM"),
    ({"MONGO_CA_FILE": "/ca.pem"}, "MONGO_CA_FILE .*of no use without tls=true in TWINSTREAM_MONGO_URI"),
    ({"KAFKA_CERTIFICATE_FILE": "/us.pem"}, "KAFKA_CERTIFICATE_FILE .*of no use without TWINSTREAM_KAFKA_TLS=true"),
    ({"MONGO_CERTIFICATE_FILE": "/us.pem"}, "MONGO_CERTIFICATE_FILE .*of no use without tls=true in TWINSTREAM_MONGO"),
    ({"REDIS_CERTIFICATE_FILE": "/us.pem"}, "REDIS_CERTIFICATE_FILE .*of no use without rediss:// in TWINSTREAM_REDIS"),
    ({"REDIS_CA_FILE": "/ca.pem"}, "REDIS_CA_FILE .*of no use without rediss:// in TWINSTREAM_REDIS_URL"),
]


def tell(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"TWINSTREAM_{name}", value)


@pytest.mark.parametrize(("variables", "told"), CONTRADICTIONS)
def test_what_contradicts_itself_stops_the_start(monkeypatch, variables: dict[str, str], told: str) -> None:
    """Rather than be passed over: who sets a password means it to be asked for. It is not repeated."""
    tell(monkeypatch, variables)
    with pytest.raises(CannotStart, match=f"TWINSTREAM_{told}") as refused:
        load(AggregatesSettings)  # which has all of them
    assert (refused.value.code, "pa55word" in str(refused.value)) == ("misconfigured", False)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "PLAINTEXT"),
        ({"KAFKA_TLS": "true"}, "SSL"),
        (LOGIN, "SASL_PLAINTEXT"),
        ({**LOGIN, "KAFKA_TLS": "true"}, "SASL_SSL"),
        ({**LOGIN, "KAFKA_TLS": "true", "KAFKA_SASL_MECHANISM": "PLAIN"}, "SASL_SSL"),
    ],
)
def test_every_client_of_kafka_is_told_the_same(monkeypatch, variables: dict[str, str], expected: str) -> None:
    """Producers, consumers and admin clients take these options and no others."""
    tell(monkeypatch, variables)
    options = client_options(load(KafkaSettings))
    assert options["security_protocol"] == expected
    assert ("ssl_context" in options) == expected.endswith("SSL")
    assert options.get("sasl_plain_password") == variables.get("KAFKA_PASSWORD")


@pytest.mark.parametrize(
    ("uri", "tls"),
    [
        ("mongodb://host/", False),
        ("mongodb://host/?replicaSet=rs0&tls=false", False),
        ("mongodb://ann:pa55word@host/?tls=true&replicaSet=rs0", True),
        ("mongodb://host/?replicaSet=rs0&ssl=true", True),
        ("mongodb+srv://host/", True),
    ],
)
def test_the_address_says_whether_mongodb_speaks_tls(uri: str, tls: object) -> None:
    """As its driver reads it."""
    assert MongoSettings(mongo_uri=uri).mongo_tls is tls


def test_the_address_says_whether_redis_speaks_tls() -> None:
    """By its scheme."""
    assert not RedisSettings().redis_tls
    assert RedisSettings(redis_url="rediss://:pa55word@host:6379/0", redis_ca_file="/ca.pem").redis_tls


def test_a_backtest_logs_in_as_its_query_api_does(monkeypatch) -> None:
    """It is a process of its own, and told all of it through a pipe."""
    tell(monkeypatch, {**LOGIN, "KAFKA_TLS": "true"})
    settings = load(KafkaSettings)
    told = msgspec.json.decode(msgspec.json.encode(Backtests(settings, None, SystemClock())._kafka))
    for name in LOGIN:
        monkeypatch.delenv(f"TWINSTREAM_{name}")
    assert KafkaSettings(**told) == settings


def test_maintenance_finds_the_servers_as_the_services_do(monkeypatch, tmp_path) -> None:
    """What the environment or a file of secrets says comes before what `up` would say."""
    started = []
    monkeypatch.setattr(repair.subprocess, "run", lambda *_, env, **__: started.append(env) or Ended())
    tell(monkeypatch, {"HOME": str(tmp_path / "home"), "SECRETS_DIR": str(tmp_path), "KAFKA_TLS": "true"})
    (tmp_path / "twinstream_kafka_password").write_text("of the file")
    with pytest.raises(repair.typer.Exit):
        repair.rebuild(repair.Derived.DOCUMENTS)
    (environment,) = started
    assert environment["TWINSTREAM_KAFKA_TLS"] == "true"
    assert environment["TWINSTREAM_SECRETS_DIR"] == str(tmp_path)
    assert "TWINSTREAM_KAFKA_PASSWORD" not in environment
    assert environment["TWINSTREAM_MONGO_URI"] == "mongodb://127.0.0.1:27017/"


class Ended:
    """A process that did what it should."""

    returncode = 0


@pytest.mark.parametrize(
    ("uri", "looked_at"),
    [
        ("mongodb://m:1/?tls=true", [("m", 1)]),
        ("mongodb://m:1/?tls=true&tlsCAFile=/x", []),
        ("mongodb://m:1/?tlsInsecure=true&tls=true", []),
        ("mongodb+srv://m.example/", []),
    ],
)
def test_an_address_that_says_itself_whom_to_trust_is_left_to_the_driver(uri: str, looked_at: object) -> None:
    """A look with our authorities would call an outage a fault of the configuration."""
    assert list(mongo._addresses(MongoSettings(mongo_uri=SecretStr(uri)))) == looked_at


def test_so_is_redis() -> None:
    addressed = [RedisSettings(redis_url=SecretStr(f"rediss://r:1/0{more}")) for more in ("", "?ssl_cert_reqs=none")]
    assert [access._addresses(one) for one in addressed] == [[("r", 1)], []]
