"""Settings from the environment: one frozen object per process, read once, checked before anything starts.

Each service composes the parts it needs; a variable means the same wherever it is read.
"""

import string
from typing import Annotated, Final, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from common.errors import CannotStart

PREFIX = "TWINSTREAM_"

Port = Annotated[int, Field(ge=1, le=65535)]

_MIN_SECRET_BYTES: Final = 32


class Settings(BaseSettings):
    """What every process reads."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least level that is logged")
    metrics_host: str = Field("127.0.0.1", description="address of /metrics, /healthz and /readyz of a process")


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
    kafka_timeout_ms: int = Field(
        10_000, ge=1000, le=120_000, description="how long a write may take before it counts as failed"
    )


class MongoSettings(Settings):
    """How documents are reached."""

    mongo_uri: SecretStr = Field(
        SecretStr("mongodb://127.0.0.1:27017/"), description="MongoDB connection string; may hold a password"
    )
    mongo_database: str = Field("twinstream", pattern=r"^[a-zA-Z0-9_-]{1,63}$", description="database of documents")
    mongo_timeout_ms: int = Field(5_000, ge=100, le=120_000, description="how long a call to MongoDB may take")


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


class HttpSettings(Settings):
    """Where an HTTP app listens."""

    host: str = Field("127.0.0.1", description="address an HTTP service listens on")


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
        return kind()
    except ValidationError as error:
        raise CannotStart("\n".join(_explain(kind, dict(e)) for e in error.errors(include_url=False))) from None


def _explain(kind: type[Settings], error: dict[str, object]) -> str:
    location = error["loc"]
    name = str(location[0]) if isinstance(location, tuple) and location else "?"
    field = kind.model_fields.get(name)
    variable = name if name.upper().startswith(PREFIX) else f"{PREFIX}{name.upper()}"
    meaning = f" ({field.description})" if field and field.description else ""
    return f"{variable}{meaning}: {error['msg']}"
