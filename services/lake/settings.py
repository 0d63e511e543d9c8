"""What the lake's processes read from the environment."""

from pydantic import Field

from common.settings import KafkaSettings, LakeSettings, MongoSettings, Port, RedisSettings, ResultSettings


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


class EngineSettings(LakeSettings):
    """What the lake's own queries may take."""

    lake_memory_mb: int = Field(512, ge=64, le=1024 * 1024, description="memory of one of the lake's own queries")


class MaintenanceSettings(EngineSettings):
    """When the lake's tables are tended, and how much that may take."""

    lake_maintenance_metrics_port: Port = Field(
        9111, description="port of the lake maintenance's /metrics, /healthz and /readyz"
    )
    lake_latest_minutes: float = Field(
        60, ge=0.01, le=24 * 60, description="how often the tables of newest versions are brought up to the log"
    )
    lake_shard_rows: int = Field(
        5_000_000,
        ge=1,
        le=100_000_000,
        description="most rows that newest versions are rebuilt of at a time, where memory has room for so many",
    )
    lake_compaction_minutes: float = Field(60, ge=0.01, le=24 * 60, description="how often small files are looked for")
    lake_small_files: int = Field(
        64, ge=1, le=10_000, description="small files that a day may have before it is over; then one"
    )
    lake_expiry_minutes: float = Field(
        60, ge=0.01, le=24 * 60, description="how often old snapshots and files are deleted"
    )
    lake_snapshot_hours: float = Field(
        24, ge=0.01, le=24 * 366, description="how long a snapshot can be read, so that a result can be reproduced"
    )
    lake_snapshots: int = Field(500, ge=1, le=100_000, description="most snapshots of a table, beyond the grace")
    lake_grace_minutes: float = Field(
        60,
        ge=0.01,
        le=24 * 60,
        description="how long everything stays that a query or a commit may still need; longer than either takes",
    )


class JobsSettings(LakeSettings, ResultSettings, MongoSettings):
    """What a query in SQL may take."""

    lake_jobs_metrics_port: Port = Field(9112, description="port of the lake jobs' /metrics, /healthz and /readyz")
    lake_queries_at_once: int = Field(2, ge=1, le=64, description="queries that run at the same time")
    lake_queries_per_key: int = Field(1, ge=1, le=64, description="queries of one API key that run at the same time")
    lake_query_memory_mb: int = Field(512, ge=64, le=1024 * 1024, description="memory that DuckDB takes for a query")
    lake_query_address_space_mb: int = Field(
        3_000, ge=1_000, le=4 * 1024 * 1024, description="address space of the process that runs a query"
    )
    lake_query_disk_mb: int = Field(1_024, ge=1, le=4 * 1024 * 1024, description="disk that a query may spill to")
    lake_query_user: str = Field(
        "nobody", max_length=32, description="user that queries run as where the service is root; empty: its own"
    )
    lake_result_hours: float = Field(24, ge=0.01, le=24 * 366, description="how long results are kept")


class AuditSettings(EngineSettings, KafkaSettings, MongoSettings, RedisSettings):
    """How much of the lake an audit looks at, and how long it waits for those who lag behind it."""

    lake_audit_ids: int = Field(
        2_000, ge=1, le=1_000_000, description="ids, and messages, of each stream that an audit of the lake looks at"
    )
    lake_audit_patience_seconds: float = Field(
        60, ge=0, le=3600, description="how long it waits until documents and windows are where the lake is"
    )
