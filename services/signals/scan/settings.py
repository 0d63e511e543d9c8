"""What the scanner reads from the environment."""

from pydantic import Field

from common.settings import KafkaSettings, Port


class ScanSettings(KafkaSettings):
    """How much the scanner takes at once, and where it tells of itself."""

    scan_metrics_port: Port = Field(9104, description="port of the scanner's /metrics, /healthz and /readyz")
    scan_batch_records: int = Field(
        2_000, ge=1, le=100_000, description="most records that the scanner reads from Kafka at once"
    )
