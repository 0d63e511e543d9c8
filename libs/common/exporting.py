"""OpenTelemetry where it is asked for: traces and metrics go to an OTLP receiver, from threads of their own.

Where it is not, none of its packages is even imported; they are an extra, `otel`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from common import spans
from common.errors import CannotStart
from common.settings import Settings


@contextmanager
def exporting(service: str, settings: Settings) -> Iterator[None]:
    """Export while the context lasts, if the settings say where to; what is in hand at its end is sent first.

    Raises:
        CannotStart: they do, and OpenTelemetry is not installed.
    """
    if not settings.otlp_endpoint:
        yield
        return
    try:
        from common.otel.exporter import Exporter  # noqa: PLC0415  # it costs 20 MB, and a third of a second
    except ImportError as error:
        raise CannotStart(
            f"TWINSTREAM_OTLP_ENDPOINT is set, and {error.name} is not installed: install the extra `otel` as well"
        ) from error
    exporter = Exporter(service, settings)
    spans.listen(exporter.tell, settings.otlp_sample_ratio)
    try:
        yield
    finally:
        spans.listen(None)
        exporter.close()
