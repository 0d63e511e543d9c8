"""What the notifier reads from the environment."""

from pydantic import Field

from common.settings import KafkaSettings, MongoSettings, Port, SecretSettings, TargetSettings

_DAY_MS = 24 * 60 * 60 * 1000


class NotifierSettings(KafkaSettings, MongoSettings, SecretSettings, TargetSettings):
    """What is sent, how patiently, and for how long it is kept."""

    notifier_metrics_port: Port = Field(9105, description="port of the notifier's /metrics, /healthz and /readyz")
    notifier_batch_alerts: int = Field(
        500, ge=1, le=10_000, description="most alerts that the notifier reads from Kafka at once"
    )
    notifier_poll_ms: int = Field(
        500, ge=10, le=60_000, description="how often a destination's open deliveries are looked for in MongoDB"
    )
    notify_within_hours: float = Field(
        24, gt=0, le=8_760, description="alerts on records whose event time is longer ago are kept and not sent"
    )
    alerts_kept_days: int = Field(365, ge=1, le=36_500, description="how long alerts are kept")
    deliveries_kept_days: int = Field(90, ge=1, le=36_500, description="how long deliveries and their log are kept")
    send_timeout_ms: int = Field(
        20_000, ge=100, le=120_000, description="how long one attempt to deliver may take, its answer included"
    )
    send_at_once: int = Field(8, ge=1, le=100, description="most messages on their way to one webhook at a time")
    give_up_hours: float = Field(
        120, gt=0, le=8_760, description="after how long without one success a destination is given up"
    )
    wait_factor: float = Field(
        1.0, gt=0, le=10, description="multiplies each wait between attempts and each rest of a failing destination"
    )
    slack_base_url: str = Field("https://slack.com/api/", description="where Slack's Web API is")
    slack_interval_ms: int = Field(
        1_000, ge=0, le=60_000, description="least time between two messages to one Slack channel"
    )

    @property
    def lease_ms(self) -> int:
        """How long a claim holds: longer than an attempt and the writing down of what came of it."""
        return self.send_timeout_ms * 3 // 2
