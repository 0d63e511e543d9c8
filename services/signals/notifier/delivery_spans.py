"""What an exporter of traces is told of an attempt: an HTTP call, without its URL, which may be a secret."""

from typing import Final
from urllib.parse import urlsplit

from common import spans
from common.deliveries import Delivery
from common.destinations import Destination, DestinationKind
from signals.notifier.outcomes import Outcome, Verdict

_WELL: Final = {Verdict.ARRIVED, Verdict.CONTINUED}
_INCOMING: Final = "hooks.slack.com"
_PORTS: Final = {"https": 443, "http": 80}


def tell_attempt(destination: Destination, delivery: Delivery, outcome: Outcome, slack_url: str) -> None:
    """Tell of an attempt that was just made, if someone listens and there was one."""
    attempt = outcome.attempt
    if attempt is None or not spans.is_listened_to():
        return
    about: dict[str, str | int] = {
        "http.request.method": "POST",
        "http.request.resend_count": delivery.tries,
        "twinstream.destination": destination.name,
        "twinstream.delivery": delivery.id,
        **_server(destination, slack_url),
    }
    if attempt.status is not None:
        about["http.response.status_code"] = attempt.status
    error = None if outcome.verdict in _WELL else str(attempt.status or outcome.verdict)
    spans.tell_errand("POST", attempt.latency_ms / 1000, about, error)


def _server(destination: Destination, slack_url: str) -> dict[str, str | int]:
    if destination.kind is DestinationKind.SLACK and destination.channel is None:
        return {"server.address": _INCOMING, "server.port": 443}  # as far as one may say without its secret
    parts = urlsplit((slack_url if destination.kind is DestinationKind.SLACK else destination.url) or "")
    return {"server.address": parts.hostname or "", "server.port": parts.port or _PORTS.get(parts.scheme, 443)}
