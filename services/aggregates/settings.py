"""What aggregates reads from the environment."""

from pydantic import Field

from common.settings import KafkaSettings, MongoSettings, Port, RebuildSettings, RedisSettings


class AggregatesSettings(KafkaSettings, RedisSettings, MongoSettings):
    """How far back the windows reach, how they are spread, and how fast the work goes.

    MongoDB is what the audit holds the windows against.
    """

    aggregates_metrics_port: Port = Field(9103, description="port of aggregates' /metrics, /healthz and /readyz")
    aggregates_batch_records: int = Field(
        5_000, ge=1, le=100_000, description="most records that aggregates reads from Kafka at once"
    )
    window_horizon_hours: int = Field(
        168, ge=1, le=190, description="how far back windows reach, in hours; less than Kafka keeps records of B"
    )
    window_shards: int = Field(
        1, ge=1, le=99, description="parts the windows are spread over: one for a single Redis, more for a cluster"
    )
    fill_records_per_second: int = Field(
        10_000, ge=100, le=1_000_000, description="how fast a new condition is brought to past records"
    )
    trim_ids: int = Field(1_000, ge=10, le=100_000, description="most ids that one call to Redis forgets")


class AggregatesRebuildSettings(AggregatesSettings, RebuildSettings):
    """Where they are rebuilt from."""
