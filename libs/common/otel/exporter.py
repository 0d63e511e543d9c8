"""Sends spans and metrics to an OTLP receiver over HTTP, in protobuf."""

import os
import socket
import threading
from importlib.metadata import version
from typing import Final

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from prometheus_client import REGISTRY

from common.errors import CannotStart
from common.otel.metrics import metrics_data
from common.settings import Settings
from common.spans import Kind, Span

SCOPE: Final = InstrumentationScope("twinstream", version("twinstream"))

_TIMEOUT_S: Final = 5.0
_FAREWELL_S: Final = 3.0
_SPANS_EVERY_MS: Final = 2_000
_KINDS: Final = {Kind.SERVER: SpanKind.SERVER, Kind.CONSUMER: SpanKind.CONSUMER, Kind.CLIENT: SpanKind.CLIENT}
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


class Exporter:
    """Takes spans from the event loop and sends them, and all metrics, from threads; one that is away costs these."""

    def __init__(self, service: str, settings: Settings) -> None:
        base, headers = settings.otlp_endpoint.rstrip("/"), _headers(settings.otlp_headers.get_secret_value())
        self._resource = Resource.create(
            {
                "service.name": service,
                "service.namespace": "twinstream",
                "service.version": version("twinstream"),
                "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
            }
        )
        to = OTLPSpanExporter(endpoint=f"{base}/v1/traces", headers=headers, timeout=_TIMEOUT_S)
        self._spans = BatchSpanProcessor(to, schedule_delay_millis=_SPANS_EVERY_MS)
        self._metrics = OTLPMetricExporter(endpoint=f"{base}/v1/metrics", headers=headers, timeout=_TIMEOUT_S)
        self._every_s = settings.otlp_metrics_seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send_metrics, name="otlp metrics", daemon=True)
        self._thread.start()

    def tell(self, span: Span) -> None:
        """Take a span; never waits."""
        self._spans.on_end(_readable(span, self._resource))

    def close(self) -> None:
        """Send what is in hand, for some seconds at most."""
        self._over.set()
        # In a thread that may be left behind: it tries every span that is in hand, each lot until its time is over.
        last = threading.Thread(target=self._spans.shutdown, name="otlp spans", daemon=True)
        last.start()
        for thread in (last, self._thread):
            thread.join(_FAREWELL_S)

    def _send_metrics(self) -> None:
        over = False
        while not over:
            over = self._over.wait(self._every_s)
            self._metrics.export(metrics_data(REGISTRY, self._resource, SCOPE), timeout_millis=_TIMEOUT_S * 1000)
        self._metrics.shutdown()


def _readable(span: Span, resource: Resource) -> ReadableSpan:
    """The span as the SDK has it; its ids are ours, for they travel in Kafka's headers and stand in every log line."""
    trace_id = int(span.trace_id, 16)
    parent = None if span.parent_id is None else int(span.parent_id, 16)
    return ReadableSpan(
        span.name,
        context=SpanContext(trace_id, int(span.span_id, 16), is_remote=False, trace_flags=_SAMPLED),
        parent=None if parent is None else SpanContext(trace_id, parent, is_remote=True, trace_flags=_SAMPLED),
        resource=resource,
        attributes=span.attributes,
        kind=_KINDS[span.kind],
        status=Status(StatusCode.ERROR if span.failed else StatusCode.UNSET),
        start_time=span.start_ns,
        end_time=span.end_ns,
        instrumentation_scope=SCOPE,
    )


def _headers(given: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in given.split(",") if pair.strip()]
    if not all(name.strip() and value for name, _, value in pairs):
        raise CannotStart("TWINSTREAM_OTLP_HEADERS does not fit: write name=value, several with commas")
    return {name.strip().lower(): value.strip() for name, _, value in pairs}
