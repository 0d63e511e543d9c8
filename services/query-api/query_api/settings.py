"""What the query API reads from its environment."""

import string
from typing import Final

from pydantic import Field, SecretStr, field_validator

from common.settings import HttpSettings, KafkaSettings, MongoSettings, Port, RecordSettings, RedisSettings

_MIN_SECRET_BYTES: Final = 32


class QueryApiSettings(KafkaSettings, MongoSettings, RedisSettings, RecordSettings, HttpSettings):
    """The settings of the query API."""

    query_api_port: Port = Field(8000, description="port of the query API")
    query_api_metrics_port: Port = Field(9100, description="port of the query API's /metrics, /healthz and /readyz")
    secret: SecretStr = Field(
        description="hex digits of at least 32 random bytes, the same for all replicas; cursors are signed with it"
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
