"""What the lake's processes read from the environment."""

from pydantic import Field

from common.settings import KafkaSettings, LakeSettings, Port


class WriterSettings(KafkaSettings, LakeSettings):
    """How often the writer commits, and where it tells of itself."""

    lake_writer_metrics_port: Port = Field(9110, description="port of the lake writer's /metrics, /healthz and /readyz")
    lake_commit_seconds: float = Field(
        300, ge=0.1, le=3600, description="how long a record may wait for its commit to the lake"
    )
    lake_commit_rows: int = Field(50_000, ge=1, le=1_000_000, description="records after which a commit waits no more")
    lake_commit_bytes: int = Field(
        64 * 1024 * 1024, ge=1024, le=1024**3, description="bytes of records after which a commit waits no more"
    )
