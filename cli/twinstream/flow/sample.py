"""One reading of the services' metrics, reduced to what the live line shows."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as Reading

# The names that common.metrics gives; a test holds this module to them.
_SENT: Final = "twinstream_ingest_records_total"
_APPLIED: Final = "twinstream_records_applied_total"
_LAG: Final = "twinstream_consumer_lag"
_AGE: Final = "twinstream_record_age_seconds_bucket"

_STORE: Final = "documents"  # the service whose results people look up
_UNHURRIED: Final = "lake-writer"  # it gathers records for a commit, and is behind by that much all the time


@dataclass(frozen=True)
class Sample:
    """Records since each service started, and how far workers are behind.

    `ages` counts the stored records that were at most so many seconds old when they became visible; `lag` is that of
    the worker that is furthest behind, in records; the lake's is not among them.
    """

    at_s: float
    accepted: float = 0
    stored: float = 0
    lag: float = 0
    ages: dict[float, float] = field(default_factory=dict)


def sample(at_s: float, pages: Iterable[str]) -> Sample:
    """Read the /metrics of all services; unknown metrics are passed over."""
    accepted = stored = 0.0
    lags: dict[str, float] = defaultdict(float)
    ages: dict[float, float] = defaultdict(float)
    for reading in _readings(pages):
        labels = reading.labels
        if reading.name == _SENT and labels["outcome"] == "accepted":
            accepted += reading.value
        elif reading.name == _APPLIED and labels["service"] == _STORE and labels["outcome"] != "rejected":
            stored += reading.value
        elif reading.name == _LAG and labels["service"] != _UNHURRIED:
            lags[labels["service"]] += reading.value
        elif reading.name == _AGE and labels["service"] == _STORE:
            ages[float(labels["le"])] += reading.value
    return Sample(at_s, accepted, stored, max(lags.values(), default=0.0), dict(ages))


def _readings(pages: Iterable[str]) -> Iterable[Reading]:
    # Most lines are about other things, and parsing them each second would cost more than all the rest.
    lines = [line for page in pages for line in page.splitlines() if line.startswith((_SENT, _APPLIED, _LAG, _AGE))]
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        yield from family.samples
