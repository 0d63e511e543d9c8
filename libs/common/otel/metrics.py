"""The metrics of `common.metrics`, which Prometheus is answered with, as OTLP has them: one definition for both."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import Metric as Family
from prometheus_client.registry import Collector

_STARTED_NS: Final = time.time_ns()
_SINCE_START: Final = AggregationTemporality.CUMULATIVE

Labels = frozenset[tuple[str, str]]


def metrics_data(registry: Collector, resource: Resource, scope: InstrumentationScope) -> MetricsData:
    """Everything that `registry` knows, as of now."""
    now_ns = time.time_ns()
    found = [
        Metric(family.name, family.documentation, None, data)
        for family in registry.collect()
        if (data := _data(family, now_ns)) is not None
    ]
    scoped = ScopeMetrics(scope, found, "")
    return MetricsData([ResourceMetrics(resource, [scoped], "")])


def _data(family: Family, now_ns: int) -> Sum | Gauge | Histogram | None:
    match family.type:
        case "counter":
            counted = [one for one in family.samples if one.name.endswith("_total")]
            return Sum(list(_numbers(counted, now_ns)), _SINCE_START, is_monotonic=True)
        case "gauge":
            return Gauge(list(_numbers(family.samples, now_ns)))
        case "histogram":
            return Histogram(list(_histograms(family, now_ns)), _SINCE_START)
    return None  # what the interpreter tells of itself in words


def _numbers(samples: Iterable[Any], now_ns: int) -> Iterator[NumberDataPoint]:
    for sample in samples:
        yield NumberDataPoint(sample.labels, _STARTED_NS, now_ns, sample.value)


def _histograms(family: Family, now_ns: int) -> Iterator[HistogramDataPoint]:
    """Prometheus' buckets hold all that is below their bound, OTLP's what is between two."""
    buckets: dict[Labels, list[tuple[float, float]]] = defaultdict(list)
    sums: dict[Labels, float] = {}
    for sample in family.samples:
        labels = frozenset((name, value) for name, value in sample.labels.items() if name != "le")
        if sample.name.endswith("_bucket"):
            buckets[labels].append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_sum"):
            sums[labels] = sample.value
    for labels, cumulative in buckets.items():
        counts = [count for _, count in sorted(cumulative)]
        unknown: Any = None  # Prometheus keeps neither
        yield HistogramDataPoint(
            attributes=dict(labels),
            start_time_unix_nano=_STARTED_NS,
            time_unix_nano=now_ns,
            count=int(counts[-1]),
            sum=sums.get(labels, 0.0),
            bucket_counts=[int(b - a) for a, b in zip([0.0, *counts], counts, strict=False)],
            explicit_bounds=[bound for bound, _ in sorted(cumulative)][:-1],
            min=unknown,
            max=unknown,
        )
