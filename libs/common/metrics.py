"""Every metric of the product, in one place: its name, its labels, what it means and its unit.

Names end in their unit; a counter ends in `_total`. The live line of `twinstream up`, the dashboards and the alert
rules read these names.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_AGES: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0, 86400.0)
_COUNTS: Final = (1, 10, 100, 500, 1_000, 2_500, 5_000, 10_000, 100_000)

HTTP_REQUESTS = Counter(
    "twinstream_http_requests_total", "HTTP requests answered", ["service", "method", "route", "status"]
)
HTTP_SECONDS = Histogram(
    "twinstream_http_request_seconds",
    "From a request's first byte to its answer",
    ["service", "route"],
    buckets=_SECONDS,
)

INGESTED = Counter(
    "twinstream_ingest_records_total", "Records that clients sent; outcome: accepted, rejected", ["stream", "outcome"]
)
REPLAYED = Counter("twinstream_replayed_records_total", "Rejected records that were put into the log again", ["stream"])
INGEST_BATCH = Histogram("twinstream_ingest_batch_records", "Records per request", ["stream"], buckets=_COUNTS)
PUBLISH_SECONDS = Histogram(
    "twinstream_publish_seconds",
    "From handing records to Kafka to its acknowledgement of all of them",
    ["topic"],
    buckets=_SECONDS,
)

APPLIED = Counter(
    "twinstream_records_applied_total",
    "Records a worker took from the log; outcome: applied (stored or found older than what is stored), folded (another "
    "of its id in the batch was newer), expired (older than the windows' horizon by now), erased, rejected",
    ["service", "stream", "outcome"],
)
LATE = Counter(
    "twinstream_late_records_total",
    "Records that were older than the windows' horizon when they were ingested",
    ["stream"],
)
AUDITED = Counter(
    "twinstream_window_audited_ids_total",
    "Ids of which windows were compared with the log and the documents",
    ["stream"],
)
DRIFT = Gauge(
    "twinstream_window_drift_ids",
    "Ids of the last audit's sample of which windows say other than the log or the documents",
    ["stream"],
)
CONDITION_FAILURES = Counter(
    "twinstream_condition_failures_total",
    "Records on which a condition failed, so that it counted as false",
    ["stream", "condition"],
)
ALERTS = Counter("twinstream_alerts_total", "Alerts that were stored", ["stream", "severity"])
ALERTS_REPEATED = Counter("twinstream_alerts_repeated_total", "Alerts in the log that were stored before")
DELIVERY_ATTEMPTS = Counter(
    "twinstream_delivery_attempts_total",
    "Attempts to deliver; outcome: arrived, failed, refused, gone, paused, continued, unready, erased",
    ["kind", "outcome"],
)
DELIVERY_AGE = Histogram(
    "twinstream_delivery_age_seconds", "From an alert's being stored to its arrival", ["kind"], buckets=_AGES
)
DELIVERIES_GIVEN_UP = Counter(
    "twinstream_deliveries_given_up_total",
    "Messages that were given up: refused, tried for the last time, or for a destination that is given up or disabled",
    ["kind"],
)
DESTINATIONS_GIVEN_UP = Counter(
    "twinstream_destinations_given_up_total",
    "Destinations that were given up: nothing arrived there for days, or they want nothing more",
    ["kind"],
)
RULE_HITS = Counter(
    "twinstream_rule_hits_total", "Records that a rule held for, repetitions included", ["rule", "stream"]
)
ALERTS_WRITTEN = Counter(
    "twinstream_alerts_written_total", "Alerts written to the log, repetitions included", ["stream"]
)
SLOW_SCANS = Counter(
    "twinstream_slow_scans_total",
    "Records on which the set of regexes gave up, so that each was looked for by itself",
    ["stream"],
)
RULES_IN_FORCE = Gauge("twinstream_rules_in_force", "Rules that records are matched against")
RULES_AS_OF = Gauge("twinstream_rules_as_of_offset", "Offset of the control topic up to which all rules are in force")
RULES_REFUSED = Gauge(
    "twinstream_rules_refused", "1 while the newest rules cannot be compiled and the former ones stay in force, else 0"
)
RULES_COMPILE_SECONDS = Histogram(
    "twinstream_rules_compile_seconds", "From a change of the rules to all of them compiled", buckets=_SECONDS
)
APPLY_BATCH = Histogram("twinstream_apply_batch_records", "Records per batch", ["service"], buckets=_COUNTS)
STORE_SECONDS = Histogram("twinstream_store_seconds", "One call to a store", ["service", "operation"], buckets=_SECONDS)
STORE_FAILURES = Counter(
    "twinstream_store_failures_total", "Calls that found the store away or unwilling, and were tried again", ["service"]
)
RECORD_AGE = Histogram(
    "twinstream_record_age_seconds",
    "From a record's ingestion to its being visible in the store",
    ["service", "stream"],
    buckets=_AGES,
)
LAG = Gauge(
    "twinstream_consumer_lag", "Records in the log that a worker has not applied", ["service", "topic", "partition"]
)
QUERIES = Counter(
    "twinstream_queries_total", "Queries in SQL that came to an end; code: why one failed, or empty", ["state", "code"]
)
QUERY_SECONDS = Histogram(
    "twinstream_query_seconds", "From a query's being asked to its end", buckets=(*_SECONDS, 60.0, 300.0, 1800.0)
)
CONTROL_OFFSET = Gauge("twinstream_control_offset", "Offset of the control topic up to which this process has read")


@contextmanager
def store_call(service: str, operation: str) -> Iterator[None]:
    """Time a call to a store, whether it succeeds or not."""
    started = time.perf_counter()
    try:
        yield
    finally:
        STORE_SECONDS.labels(service, operation).observe(time.perf_counter() - started)
