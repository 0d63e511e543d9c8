"""Traces and metrics as a real receiver of OpenTelemetry's protocol gets them, and what it costs not to have one."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from common import metrics, spans
from common.errors import CannotStart
from common.exporting import exporting
from common.health import Health
from common.http.app import create_app
from common.kafka.batch_loop import _tell
from common.kafka.batches import Batch, Partition
from common.otel.exporter import _TIMEOUT_S
from common.settings import Settings
from localstack.collector import Collector, answering_collector, attributes

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with answering_collector() as collector:
        yield collector


def settings(collector: Collector, **fields: Any) -> Settings:
    known = {"otlp_endpoint": collector.url, "otlp_sample_ratio": 1.0, "otlp_headers": "x-team=data"}
    return Settings(**{**known, **fields})


async def answered(path: str, **headers: str) -> httpx.Response:
    """By an app of ours that has nothing but its frame."""
    authenticator: Any = None  # these routes are public
    app = create_app("ingest", title="t", description="", authenticator=authenticator, health=Health())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as http:
        return await http.get(path, headers=headers)


async def test_a_request_is_a_span_within_its_callers_trace(collector: Collector) -> None:
    """With the ids that the answer and the log lines have; what is in hand at the end is sent, with the headers."""
    with exporting("ingest", settings(collector)):
        answer = await answered("/healthz", traceparent=CALLER)
        await answered("/nowhere")
    (service, called), (_, lost) = collector.spans()
    assert answer.headers["x-trace-id"] == called.trace_id.hex() == TRACE
    assert called.parent_span_id.hex() == "b7ad6b7169203331"
    assert (called.name, called.kind) == ("GET /healthz", 2)  # SPAN_KIND_SERVER
    assert attributes(called)["http.response.status_code"] == 200
    assert 0 < called.end_time_unix_nano - called.start_time_unix_nano < 5e9
    assert lost.trace_id != called.trace_id
    assert lost.parent_span_id == b""
    assert service == "ingest"
    assert {headers["x-team"] for headers in collector.headers} == {"data"}


async def test_a_batch_is_a_span_in_each_trace_that_it_carries(collector: Collector) -> None:
    """Below the request that its messages came with, up to a hundred of them, and never one for each record."""
    others = [f"00-{n:032x}-{n:016x}-01".encode() for n in range(1, 300)]
    headers = [[("traceparent", one)] for one in (CALLER.encode(), CALLER.encode(), b"none of ours")]
    with exporting("documents", settings(collector)):
        tell_applied(batch(headers))
        tell_applied(batch([[("traceparent", one)] for one in others]))
    found = [span for _, span in collector.spans()]
    ours, *rest = sorted(found, key=lambda span: span.trace_id.hex() != TRACE)
    assert (ours.trace_id.hex(), ours.parent_span_id.hex()) == (TRACE, "b7ad6b7169203331")
    assert (ours.name, ours.kind) == ("process records.b", 5)  # SPAN_KIND_CONSUMER
    assert attributes(ours)["messaging.batch.message_count"] == 3
    assert ours.end_time_unix_nano - ours.start_time_unix_nano == 250_000_000
    assert len(rest) == spans.MOST_OF_A_BATCH


def tell_applied(batch: Batch, *, failed: bool = False) -> None:
    """As the loop does it."""
    _tell("documents", batch, spans.begin_batch(batch.traceparents()), 0.25, failed=failed)


def batch(headers: list[Any]) -> Batch:
    entries: list[Any] = [SimpleNamespace(offset=n, headers=one) for n, one in enumerate(headers)]
    return Batch(Partition("records.b", 0), 0, entries)


async def test_what_is_called_for_a_batch_lies_below_it(collector: Collector) -> None:
    """In the first of its traces alone; a store that was away shows, and what the batch began and is over does not."""
    with exporting("documents", settings(collector)):
        begun = spans.begin_batch([CALLER.encode()])
        with spans.calling("update b", {"db.system.name": "mongodb"}):
            pass
        with pytest.raises(ConnectionError), spans.calling("update b", {"db.system.name": "mongodb"}):
            raise ConnectionError
        left_over = asyncio.create_task(told_later(asyncio.Event()))
        _tell("documents", batch([[("traceparent", CALLER.encode())]]), begun, 0.25, failed=True)
        await left_over
        assert spans.calling("update b", {}) is spans.NOTHING
    above, *calls = sorted((span for _, span in collector.spans()), key=lambda span: span.kind != 5)
    assert {(one.name, one.kind, one.trace_id.hex()) for one in calls} == {("update b", 3, TRACE)}  # SPAN_KIND_CLIENT
    assert {one.parent_span_id for one in calls} == {above.span_id}
    assert [attributes(one).get("error.type") for one in calls] == [None, "ConnectionError"]
    assert [one.status.code for one in (above, *calls)] == [2, 0, 2]  # STATUS_CODE_ERROR


async def told_later(begun: asyncio.Event) -> None:
    """What goes on for itself, as a lane does that a batch made."""
    with suppress(TimeoutError):
        await asyncio.wait_for(begun.wait(), 0.01)
    with spans.calling("find a", {}):
        pass


async def test_every_process_takes_the_same_share_of_traces(collector: Collector) -> None:
    """By the trace's id, so that one is sent whole or not at all."""
    with exporting("documents", settings(collector, otlp_sample_ratio=0.25)):
        traces = [f"{n:016x}{n * 2**56:016x}" for n in range(1, 256)]
        assert sum(map(spans.is_wanted, traces)) == 63
        await answered("/healthz", traceparent=f"00-{traces[0]}-{1:016x}-01")
        await answered("/healthz", traceparent=f"00-{traces[-1]}-{1:016x}-01")
    assert [span.trace_id.hex() for _, span in collector.spans()] == [traces[0]]
    assert not spans.is_listened_to()


def test_metrics_are_those_of_prometheus(collector: Collector) -> None:
    """Counters as sums since the start, gauges, and histograms with what lies between two bounds."""
    metrics.LATE.labels("b").inc(3)
    metrics.RULES_IN_FORCE.set(7)
    for seconds in (0.001, 0.3, 99.0):
        metrics.PUBLISH_SECONDS.labels("otel").observe(seconds)
    with exporting("documents", settings(collector)):
        pass
    told = {name: metric for (_, name), metric in collector.metrics().items()}
    (late,) = [one for one in told["twinstream_late_records"].sum.data_points if attributes(one) == {"stream": "b"}]
    assert late.as_double >= 3
    assert told["twinstream_late_records"].sum.is_monotonic
    assert told["twinstream_rules_in_force"].gauge.data_points[0].as_double == 7
    (point,) = [
        p for p in told["twinstream_publish_seconds"].histogram.data_points if attributes(p) == {"topic": "otel"}
    ]
    assert (point.count, point.sum) == (3, pytest.approx(99.301))
    assert (point.bucket_counts[0], point.bucket_counts[-1], sum(point.bucket_counts)) == (1, 1, 3)
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1


def test_a_receiver_that_is_away_ends_nothing() -> None:
    """Neither the work nor, for long, the stop."""
    away = Settings(otlp_endpoint="http://127.0.0.1:1", otlp_sample_ratio=1.0)
    with exporting("documents", away):
        tell_applied(batch([[("traceparent", CALLER.encode())]]))


def test_a_receiver_that_hangs_is_not_waited_for(monkeypatch) -> None:
    """Whoever stops a process has given it a time, and the spans are not worth it."""
    monkeypatch.setattr("common.otel.exporter._FAREWELL_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        hangs = Settings(otlp_endpoint=f"http://127.0.0.1:{hanging.getsockname()[1]}", otlp_sample_ratio=1.0)
        with exporting("documents", hangs):
            tell_applied(batch([[("traceparent", CALLER.encode())]]))
            began = time.monotonic()
        assert time.monotonic() - began < _TIMEOUT_S


@pytest.mark.parametrize("foreign", [b"00-" + b"_0" * 16 + b"-" + b"0" * 15 + b"1-01", b"", b"\xff" * 55])
def test_a_traceparent_that_is_none_is_no_span(collector: Collector, foreign: bytes) -> None:
    """Anybody may write such a header into the log; no worker ends over it."""
    with exporting("documents", settings(collector)):
        tell_applied(batch([[("traceparent", foreign)]]))
    assert collector.spans() == []


def test_headers_that_do_not_fit_stop_the_start(collector: Collector) -> None:
    """Without a word of what they hold."""
    with (
        pytest.raises(CannotStart, match="TWINSTREAM_OTLP_HEADERS") as refused,
        exporting("x", settings(collector, otlp_headers="Bearer secret")),
    ):
        pass
    assert "secret" not in str(refused.value)


def test_nothing_of_it_is_there_unless_it_is_asked_for() -> None:
    """Processes start where its SDK is not installed; where it is, ours do not import it, and nobody listens."""
    program = """
import sys
for name in ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.proto", "google.protobuf"):
    sys.modules[name] = None
import ingest.wiring, documents.wiring, common.process
from common import exporting, settings, spans
with exporting.exporting("x", settings.Settings()):
    print(spans.is_listened_to(), [name for name in sys.modules if name.startswith("common.otel")])
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    assert ran.stdout == "False []\n"


def test_without_the_extra_it_says_what_to_install(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that has it not cannot silently export nothing."""
    monkeypatch.setitem(sys.modules, "common.otel.exporter", None)
    with pytest.raises(CannotStart, match="install the extra `otel`"), exporting("x", settings(collector)):
        pass
