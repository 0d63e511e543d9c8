"""Settings from the environment: one frozen object per process, read once, checked before anything starts.

Each service composes the parts it needs; a variable means the same wherever it is read.
"""

import os
import re
import string
from typing import Annotated, Final, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from common.errors import CannotStart

PREFIX = "TWINSTREAM_"
SECRETS_VARIABLE: Final = "TWINSTREAM_SECRETS_DIR"
"""Names a folder whose files are settings too, each called as its variable, where the environment has none."""

Port = Annotated[int, Field(ge=1, le=65535)]

_MIN_SECRET_BYTES: Final = 32
_REDISS: Final = "rediss://"
_MONGO_TLS: Final = re.compile(r"mongodb\+srv://|.*[?&](tls|ssl)=true", re.IGNORECASE)


class Settings(BaseSettings):
    """What every process reads."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least level that is logged")
    metrics_host: str = Field("127.0.0.1", description="address of /metrics, /healthz and /readyz of a process")
    otlp_endpoint: str = Field(
        "",
        pattern=r"^(https?://[^\s/]+(/\S*)?)?$",
        description="base URL of an OpenTelemetry receiver (OTLP over HTTP, such as http://collector:4318) that traces "
        "and metrics are sent to; needs the extra `otel`; none unless set",
    )
    otlp_headers: SecretStr = Field(
        SecretStr(""), description="headers of what is sent there, name=value, comma-separated; may hold a password"
    )
    otlp_sample_ratio: float = Field(
        0.1, ge=0, le=1, description="share of traces that is sent, the same in all processes"
    )
    otlp_metrics_seconds: float = Field(15.0, ge=0.1, le=3600, description="how often metrics are sent")


class KafkaSettings(Settings):
    """How the log is reached."""

    kafka_bootstrap: str = Field("127.0.0.1:9092", description="host:port of Kafka brokers, comma-separated")
    topic_prefix: str = Field(
        "", pattern=r"^[a-zA-Z0-9._-]{0,64}$", description="put before every topic's and group's name on a shared Kafka"
    )
    compression: Literal["none", "gzip", "lz4", "zstd"] = Field(
        "zstd", description="compression of what is written to Kafka"
    )
    linger_ms: int = Field(2, ge=0, le=1000, description="how long a write may wait for company")
    max_message_bytes: int = Field(
        2 * 1024 * 1024,
        ge=1024 * 1024,
        description="largest message Kafka takes; a longest text of escapes needs 1 MiB",
    )
    instance: str = Field(
        "",
        pattern=r"^[a-zA-Z0-9._-]{0,64}$",
        description="name of this replica, like no other of its service: its restart then leaves the others alone",
    )
    session_timeout_ms: int = Field(
        10_000,
        ge=6_000,
        le=300_000,
        description="how long a worker may be silent, or away for a restart, before others take over its partitions",
    )
    pace_ms: int = Field(
        25,
        ge=0,
        le=1000,
        description="least time between two reads of a worker: at a steady trickle it takes fewer, larger batches",
    )
    kafka_timeout_ms: int = Field(
        10_000, ge=1000, le=120_000, description="how long a write may take before it counts as failed"
    )
    kafka_tls: bool = Field(False, description="whether Kafka speaks TLS")
    kafka_ca_file: str = Field(
        "", description="PEM file of the authorities that vouch for Kafka; those of this machine unless set"
    )
    kafka_certificate_file: str = Field(
        "", description="PEM file of our own certificate with its key, for a Kafka that asks for one; none unless set"
    )
    kafka_sasl_mechanism: Literal["none", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "none", description="how one logs in to Kafka; PLAIN over TLS alone"
    )
    kafka_username: str = Field("", validate_default=True, description="who we are to Kafka, where one logs in")
    kafka_password: SecretStr = Field(
        SecretStr(""), validate_default=True, description="the password that goes with it"
    )

    @field_validator("kafka_ca_file", "kafka_certificate_file")
    @classmethod
    def _kafka_file_is_for_tls(cls, file: str, info: ValidationInfo) -> str:
        if file and not info.data.get("kafka_tls"):
            raise ValueError("of no use without TWINSTREAM_KAFKA_TLS=true")
        return file

    @field_validator("kafka_sasl_mechanism")
    @classmethod
    def _keeps_the_password(cls, mechanism: str, info: ValidationInfo) -> str:
        if mechanism == "PLAIN" and not info.data.get("kafka_tls"):
            raise ValueError("PLAIN sends the password as it is: only with TWINSTREAM_KAFKA_TLS=true")
        return mechanism

    @field_validator("kafka_username", "kafka_password")
    @classmethod
    def _goes_with_a_login(cls, given: str | SecretStr, info: ValidationInfo) -> str | SecretStr:
        logs_in = info.data.get("kafka_sasl_mechanism", "none") != "none"
        if logs_in and not given:
            raise ValueError("needed with TWINSTREAM_KAFKA_SASL_MECHANISM")
        if given and not logs_in:
            raise ValueError("of no use without TWINSTREAM_KAFKA_SASL_MECHANISM")
        return given


class MongoSettings(Settings):
    """How documents are reached."""

    mongo_uri: SecretStr = Field(
        SecretStr("mongodb://127.0.0.1:27017/"), description="MongoDB connection string; may hold a password"
    )
    mongo_database: str = Field("twinstream", pattern=r"^[a-zA-Z0-9_-]{1,63}$", description="database of documents")
    mongo_timeout_ms: int = Field(5_000, ge=100, le=120_000, description="how long a call to MongoDB may take")
    mongo_writes_at_once: int = Field(
        4, ge=1, le=64, description="how many calls that write documents one worker has under way at a time"
    )
    mongo_ca_file: str = Field(
        "", description="PEM file of the authorities that vouch for MongoDB; those of this machine unless set"
    )
    mongo_certificate_file: str = Field(
        "", description="PEM file of our own certificate with its key, for a MongoDB that asks for one; none unless set"
    )

    @field_validator("mongo_ca_file", "mongo_certificate_file")
    @classmethod
    def _mongo_file_is_for_tls(cls, file: str, info: ValidationInfo) -> str:
        if file and "mongo_uri" in info.data and not _has_tls(info.data["mongo_uri"].get_secret_value()):
            raise ValueError("of no use without tls=true in TWINSTREAM_MONGO_URI")
        return file

    @property
    def mongo_tls(self) -> bool:
        return _has_tls(self.mongo_uri.get_secret_value())


class RedisSettings(Settings):
    """How Redis or Valkey is reached."""

    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"), description="redis:// or rediss:// URL; may hold a password"
    )
    redis_prefix: str = Field(
        "", pattern=r"^[a-zA-Z0-9._:-]{0,64}$", description="put before every key on a shared Redis"
    )
    redis_cluster: bool = Field(False, description="whether redis_url names a node of a cluster")
    redis_timeout_ms: int = Field(2_000, ge=50, le=120_000, description="how long a call to Redis may take")
    redis_ca_file: str = Field(
        "", description="PEM file of the authorities that vouch for Redis; those of this machine unless set"
    )
    redis_certificate_file: str = Field(
        "", description="PEM file of our own certificate with its key, for a Redis that asks for one; none unless set"
    )

    @field_validator("redis_ca_file", "redis_certificate_file")
    @classmethod
    def _redis_file_is_for_tls(cls, file: str, info: ValidationInfo) -> str:
        if file and "redis_url" in info.data and not info.data["redis_url"].get_secret_value().startswith(_REDISS):
            raise ValueError("of no use without rediss:// in TWINSTREAM_REDIS_URL")
        return file

    @property
    def redis_tls(self) -> bool:
        return self.redis_url.get_secret_value().startswith(_REDISS)


class RecordSettings(Settings):
    """What a record may be."""

    max_record_bytes: int = Field(512 * 1024, ge=1024, le=1024 * 1024, description="longest JSON of one record")


class LakeSettings(Settings):
    """Where the lake's tables are."""

    lake_catalog_uri: SecretStr = Field(
        SecretStr("sqlite:///.twinstream/data/lake/catalog.db"),
        description="SQLAlchemy connection string of the lake's catalog; may hold a password",
    )
    lake_warehouse: str = Field(
        ".twinstream/data/lake/warehouse",
        min_length=1,
        description="where the lake's files are: a folder, or a URL such as s3://bucket/path",
    )


class RebuildSettings(LakeSettings):
    """What a rebuild is made of."""

    rebuild_from: Literal["log", "lake"] = Field(
        "log", description="what a rebuild reads: what Kafka holds, or before that what the lake has of it"
    )


class ResultSettings(Settings):
    """Where results of queries are: a folder that the lake's jobs write and query-api reads."""

    lake_results: str = Field(
        ".twinstream/data/lake/results", min_length=1, description="folder of the results of queries in SQL"
    )


class HttpSettings(Settings):
    """Where an HTTP app listens."""

    host: str = Field("127.0.0.1", description="address an HTTP service listens on")
    drain_ms: int = Field(
        1_000, ge=0, le=120_000, description="how long open connections are served at a stop, once new ones are refused"
    )
    cors_origins: str = Field(
        "", description="origins whose pages may call from a browser, comma-separated; none unless set"
    )
    requests_per_minute: int = Field(
        0, ge=0, description="most requests of one key in a minute, over all replicas; 0 for no limit"
    )
    bytes_per_minute: int = Field(
        0, ge=0, description="most bytes that one key sends in a minute, over all replicas; 0 for no limit"
    )
    oidc_issuer: str = Field(
        "", description="issuer whose access tokens (JWT) are taken beside API keys; none unless set"
    )
    oidc_audience: str = Field(
        "", validate_default=True, description="what a token's `aud` must name; needed with an issuer"
    )
    oidc_jwks_url: str = Field("", description="where the issuer's keys are; unless set, its discovery document tells")
    oidc_scope_claim: str = Field("scope", description="claim that holds a token's scopes, as words or as a list")
    oidc_scope_prefix: str = Field("", description="what stands before our scopes' names in that claim")
    oidc_leeway_s: int = Field(30, ge=0, le=300, description="seconds by which the issuer's clock may differ from ours")

    @field_validator("oidc_audience")
    @classmethod
    def _is_named(cls, audience: str, info: ValidationInfo) -> str:
        if info.data.get("oidc_issuer") and not audience:
            raise ValueError("needed with TWINSTREAM_OIDC_ISSUER, whose tokens for others would open this too")
        return audience

    @property
    def origins(self) -> list[str]:
        return [origin for given in self.cors_origins.split(",") if (origin := given.strip())]


class SecretSettings(Settings):
    """What the processes share that seal and sign."""

    secret: SecretStr = Field(
        description="hex digits of at least 32 random bytes, the same for all replicas of all services; cursors are "
        "signed and secrets of destinations sealed with it"
    )

    @field_validator("secret")
    @classmethod
    def _is_hex(cls, secret: SecretStr) -> SecretStr:
        digits = secret.get_secret_value()
        if len(digits) < 2 * _MIN_SECRET_BYTES or len(digits) % 2 or not set(digits) <= set(string.hexdigits):
            raise ValueError(f"needs an even number of at least {2 * _MIN_SECRET_BYTES} hex digits")
        return secret

    @property
    def secret_bytes(self) -> bytes:
        return bytes.fromhex(self.secret.get_secret_value())


class TargetSettings(Settings):
    """Which addresses messages may be sent to."""

    webhook_allow_loopback: bool = Field(
        False, description="whether webhooks may go to this machine, and by plain http; `twinstream up` sets it"
    )


S = TypeVar("S", bound=Settings)


def load(kind: type[S]) -> S:
    """Read `kind` from the environment.

    Raises:
        CannotStart: a value does not fit; names each variable, what is wrong with it and what it holds for.
    """
    try:
        return kind(_secrets_dir=_secrets_folder())
    except ValidationError as error:
        raise CannotStart("\n".join(_explain(kind, dict(e)) for e in error.errors(include_url=False))) from None


def secret_files() -> set[str]:
    """The variables that the folder of secrets has files for."""
    folder = _secrets_folder()
    return {name.upper() for name in os.listdir(folder)} if folder else set()  # noqa: PTH208  # a string, as it was given


def _has_tls(uri: str) -> bool:
    return _MONGO_TLS.match(uri) is not None


def _secrets_folder() -> str | None:
    folder = os.environ.get(SECRETS_VARIABLE) or None
    if folder is not None and not os.path.isdir(folder):  # noqa: PTH112  # a string, as it was given
        raise CannotStart(f"{SECRETS_VARIABLE}: there is no folder {folder!r}")
    return folder


def _explain(kind: type[Settings], error: dict[str, object]) -> str:
    location = error["loc"]
    name = str(location[0]) if isinstance(location, tuple) and location else "?"
    field = kind.model_fields.get(name)
    variable = name if name.upper().startswith(PREFIX) else f"{PREFIX}{name.upper()}"
    meaning = f" ({field.description})" if field and field.description else ""
    return f"{variable}{meaning}: {error['msg']}"
