"""What ingest reads from the environment."""

from typing import Final

from pydantic import Field

from common.settings import HttpSettings, KafkaSettings, Port, RecordSettings, RedisSettings

_MIB: Final = 1024 * 1024


class IngestSettings(KafkaSettings, RedisSettings, RecordSettings, HttpSettings):
    """Where ingest listens, and how much it takes at once."""

    ingest_port: Port = Field(8001, description="port of ingest")
    ingest_metrics_port: Port = Field(9101, description="port of ingest's /metrics, /healthz and /readyz")
    max_body_bytes: int = Field(
        16 * _MIB, ge=1024, le=256 * _MIB, description="largest body of a request, as sent and once decompressed"
    )
    max_bytes_in_hand: int = Field(
        256 * _MIB, ge=1024, le=64 * 1024 * _MIB, description="bytes of all bodies in hand at once; past it, a 429"
    )
    max_records: int = Field(100_000, ge=1, le=1_000_000, description="most records in one request")
