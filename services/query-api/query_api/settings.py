"""What the query API reads from its environment."""

from pydantic import Field

from common.settings import (
    HttpSettings,
    KafkaSettings,
    MongoSettings,
    Port,
    RecordSettings,
    RedisSettings,
    SecretSettings,
    TargetSettings,
)


class QueryApiSettings(
    KafkaSettings, MongoSettings, RedisSettings, RecordSettings, HttpSettings, SecretSettings, TargetSettings
):
    """The settings of the query API."""

    query_api_port: Port = Field(8000, description="port of the query API")
    query_api_metrics_port: Port = Field(9100, description="port of the query API's /metrics, /healthz and /readyz")
