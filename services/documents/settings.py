"""What documents reads from the environment."""

from typing import Final

from pydantic import Field

from common.settings import KafkaSettings, MongoSettings, Port, RebuildSettings

MISSING_PERCENT: Final = 0.1


class DocumentsSettings(KafkaSettings, MongoSettings):
    """How much documents takes at once, and where it tells of itself."""

    documents_metrics_port: Port = Field(9102, description="port of documents' /metrics, /healthz and /readyz")
    documents_batch_records: int = Field(
        2_000, ge=1, le=100_000, description="most records that documents reads from Kafka at once"
    )
    rejected_days: int = Field(30, ge=1, le=3650, description="how long rejected records can be listed and replayed")
    rebuild_missing_percent: float = Field(
        MISSING_PERCENT,
        ge=0,
        le=100,
        description="how many of the old documents a rebuild may lack, in percent, and still take their place",
    )


class DocumentsRebuildSettings(DocumentsSettings, RebuildSettings):
    """Where they are rebuilt from."""
