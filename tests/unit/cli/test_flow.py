"""The live line of `up`: from the services' metrics to words."""

from collections.abc import Iterator
from math import inf

import pytest
from prometheus_client import generate_latest

from common import metrics
from twinstream.flow.line import line
from twinstream.flow.rates import Flow, Window, quantile
from twinstream.flow.sample import Sample, sample

OURS = (metrics.INGESTED, metrics.APPLIED, metrics.LAG, metrics.RECORD_AGE)


@pytest.fixture
def page() -> Iterator[str]:
    """The /metrics of a process that has taken in, stored and lags behind, under the names that our metrics have."""
    for metric in OURS:
        metric.clear()
    metrics.INGESTED.labels("a", "accepted").inc(5)
    metrics.INGESTED.labels("b", "accepted").inc(7)
    metrics.INGESTED.labels("b", "rejected").inc(100)
    metrics.APPLIED.labels("documents", "a", "applied").inc(3)
    metrics.APPLIED.labels("documents", "b", "folded").inc(2)
    metrics.APPLIED.labels("documents", "b", "rejected").inc(50)
    metrics.APPLIED.labels("aggregates", "b", "applied").inc(1000)
    metrics.LAG.labels("documents", "records.a", "0").set(4)
    metrics.LAG.labels("documents", "records.b", "1").set(6)
    metrics.LAG.labels("aggregates", "records.b", "1").set(9)
    metrics.RECORD_AGE.labels("documents", "a").observe(0.03)
    metrics.RECORD_AGE.labels("aggregates", "a").observe(3000)
    yield generate_latest().decode()
    for metric in OURS:
        metric.clear()


def test_a_sample_reads_our_metrics(page: str) -> None:
    """What was refused is not accepted, folded records are stored by their newer version, the worst lag counts."""
    read = sample(1.0, [page])
    assert (read.accepted, read.stored, read.lag) == (12, 5, 10)
    assert read.ages[0.025] == 0
    assert read.ages[0.05] == read.ages[inf] == 1


def test_the_metrics_of_several_services_add_up(page: str) -> None:
    """One that is away adds nothing."""
    assert sample(1.0, [page, "", page]).accepted == 24


def test_the_first_sample_tells_no_rate() -> None:
    """There is nothing to compare it with."""
    assert Window().add(Sample(0.0, accepted=5)) is None


def flows(*samples: Sample) -> list[Flow | None]:
    window = Window()
    return [window.add(one) for one in samples]


def test_rates_are_of_the_last_seconds() -> None:
    """A burst of a minute ago is over."""
    counts = [0, 0, 900, 900, 900, 900, 900]
    rates = [flow and flow.accepted_per_s for flow in flows(*(Sample(t, accepted=n) for t, n in enumerate(counts)))]
    assert rates == [None, 0, 450, 300, 300, 0, 0]


def test_a_service_that_was_restarted_counts_from_zero() -> None:
    """What it took since then is the difference, not a negative rate."""
    flow = flows(Sample(0, stored=1_000_000), Sample(1, stored=30))[-1]
    assert flow is not None
    assert flow.stored_per_s == 30


def test_ages_are_of_the_last_seconds() -> None:
    """Old records of a catching up do not colour the figures for ever."""
    early = {1.0: 0.0, 10.0: 100.0, inf: 100.0}
    late = {1.0: 100.0, 10.0: 200.0, inf: 200.0}
    first, *_, last = flows(Sample(0), Sample(1, ages=early), Sample(11, ages=early), Sample(12, ages=late))
    assert first is None
    assert last is not None
    assert last.p50_s == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ({}, 0.5, None),
        ({1.0: 0, inf: 0}, 0.5, None),
        ({1.0: 10, inf: 10}, 0.5, 0.5),
        ({1.0: 5, 2.0: 10, inf: 10}, 0.5, 1.0),
        ({1.0: 5, 2.0: 10, inf: 10}, 0.99, pytest.approx(1.98)),
        ({1.0: 0, 2.0: 10, inf: 10}, 0.1, 1.1),
        ({1.0: 0, 2.0: 0, inf: 10}, 0.5, 2.0),
    ],
    ids=["no metric", "nothing seen", "within one", "on a bound", "interpolated", "empty first", "past the last"],
)
def test_quantiles(buckets: dict[float, float], share: float, expected: float | None) -> None:
    """As Prometheus' histogram_quantile does."""
    assert quantile(buckets, share) == expected


@pytest.mark.parametrize(
    ("flow", "words"),
    [
        (Flow(0, 0, 0, None, None), "accepted 0/s · stored 0/s · lag 0"),
        (Flow(12.7, 0.04, 3, 0.0123, 0.5), "accepted 12.7/s · stored 0.0/s · lag 3 · age p50 12 ms p99 500 ms"),
        (
            Flow(99_999.4, 1234, 56_789, 1.25, 119),
            "accepted 99,999/s · stored 1,234/s · lag 56,789 · age p50 1.2 s p99 119.0 s",
        ),
        (
            Flow(1e6, 1e6, 12_345_678, 600, 86_400),
            "accepted 1.0M/s · stored 1.0M/s · lag 12.3M · age p50 10 min p99 24 h",
        ),
    ],
)
def test_the_line_is_short_enough_for_any_flow(flow: Flow, words: str) -> None:
    """80 columns, in figures that a person takes in at a glance."""
    assert line(flow) == words
    assert len(words) <= 80
