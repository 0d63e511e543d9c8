"""A receiver of OpenTelemetry's protocol that answers on this machine: for tests, which look at what it was sent."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_BASE: Final = "/base"
_KINDS: Final[dict[str, Any]] = {"/v1/traces": ExportTraceServiceRequest, "/v1/metrics": ExportMetricsServiceRequest}


class Sent(NamedTuple):
    """A span or a metric, as its message has it, and which process sent it."""

    service: str
    what: Any


class Collector(ThreadingHTTPServer):
    """Reads protobuf over HTTP, and remembers it."""

    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.headers: list[dict[str, str]] = []
        self._requests: list[Any] = []

    @property
    def url(self) -> str:
        """What TWINSTREAM_OTLP_ENDPOINT is set to."""
        return f"http://127.0.0.1:{self.server_port}{_BASE}/"

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        plain = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
        self._requests.append(_KINDS[path.removeprefix(_BASE)].FromString(plain))
        self.headers.append(headers)

    def spans(self) -> list[Sent]:
        """All spans, in the order of their coming; what came again, for its answer was late, is there once."""
        found = [one for request in list(self._requests) for one in getattr(request, "resource_spans", ())]
        sent = [Sent(_service(one), span) for one in found for scope in one.scope_spans for span in scope.spans]
        return list({one.what.span_id: one for one in sent}.values())

    def metrics(self) -> dict[tuple[str, str], Any]:
        """By service and name, as they were told last."""
        found = [one for request in list(self._requests) for one in getattr(request, "resource_metrics", ())]
        return {
            (_service(one), metric.name): metric
            for one in found
            for scope in one.scope_metrics
            for metric in scope.metrics
        }


def attributes(thing: Any) -> dict[str, str | int]:
    """Of a span, a point or a resource."""
    return {one.key: one.value.string_value or one.value.int_value for one in thing.attributes}


@contextmanager
def answering_collector() -> Iterator[Collector]:
    """One that answers for as long as the context lasts."""
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            collector.shutdown()
            thread.join()


def _service(thing: Any) -> str:
    return str(attributes(thing.resource)["service.name"])


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.take(self.path, dict(self.headers), body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the parent's name
        """Say nothing."""
