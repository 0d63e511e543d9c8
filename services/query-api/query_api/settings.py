"""What the query API reads from its environment."""

from pydantic import Field

from common.settings import (
    HttpSettings,
    KafkaSettings,
    MongoSettings,
    Port,
    RecordSettings,
    RedisSettings,
    ResultSettings,
    SecretSettings,
    TargetSettings,
)


class QueryApiSettings(
    KafkaSettings,
    MongoSettings,
    RedisSettings,
    RecordSettings,
    HttpSettings,
    SecretSettings,
    TargetSettings,
    ResultSettings,
):
    """The settings of the query API."""

    query_api_port: Port = Field(8000, description="port of the query API")
    query_api_metrics_port: Port = Field(9100, description="port of the query API's /metrics, /healthz and /readyz")
    max_open_queries: int = Field(100, ge=1, le=10_000, description="queries in SQL that may wait or run")
    max_open_queries_per_key: int = Field(20, ge=1, le=10_000, description="of these, queries of one API key")
