"""An attempt is an HTTP call in a trace of its own, and nothing in it is a secret."""

from collections.abc import Iterator
from typing import Any

import pytest

from common import spans
from common.deliveries import Attempt, Delivery, DeliveryKind, DeliveryState
from common.destinations import Destination, DestinationKind
from signals.notifier.delivery_spans import tell_attempt
from signals.notifier.outcomes import Outcome, Verdict

SLACK = "https://slack.com/api/"


@pytest.fixture
def told() -> Iterator[list[spans.Span]]:
    found: list[spans.Span] = []
    spans.listen(found.append)
    yield found
    spans.listen(None)


def destination(**fields: Any) -> Destination:
    known = {"name": "ops", "kind": DestinationKind.WEBHOOK, "secret": "sealed", "created_at": 1, "changed_at": 1}
    return Destination(**{**known, **fields})


def attempted(verdict: Verdict = Verdict.ARRIVED, status: int | None = 204) -> Outcome:
    return Outcome(verdict, Attempt(at=1, latency_ms=40, status=status, error=None))


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({"url": "https://user:word@hook.example.com/a-secret?of=ours"}, ("hook.example.com", 443)),
        ({"url": "http://127.0.0.1:8099/"}, ("127.0.0.1", 8099)),
        ({"kind": DestinationKind.SLACK, "channel": "#a"}, ("slack.com", 443)),
        ({"kind": DestinationKind.SLACK}, ("hooks.slack.com", 443)),
    ],
)
def test_it_says_whom_it_called_and_how_that_ended(told: list[spans.Span], fields: Any, address: object) -> None:
    """The server's name alone: a path may be as good as a password."""
    tell_attempt(destination(**fields), delivery(), attempted(), SLACK)
    (span,) = told
    about = span.attributes
    assert (span.name, span.kind, span.parent_id, span.failed) == ("POST", spans.Kind.CLIENT, None, False)
    assert (about["server.address"], about["server.port"]) == address
    assert (about["http.response.status_code"], about["twinstream.destination"]) == (204, "ops")
    assert span.end_ns - span.start_ns == 40_000_000
    assert "secret" not in str(span)
    assert "word" not in str(span)


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (attempted(Verdict.FAILED, 503), "503"),
        (attempted(Verdict.FAILED, None), "failed"),
        (attempted(Verdict.CONTINUED), None),
    ],
)
def test_a_failure_is_one(told: list[spans.Span], outcome: Outcome, error: str | None) -> None:
    """By the status that was answered, or by what became of it where nobody did."""
    tell_attempt(destination(url="https://hook.example.com/"), delivery(), outcome, SLACK)
    assert (told[0].failed, told[0].attributes.get("error.type")) == (error is not None, error)


def test_what_was_not_tried_is_not_told_of(told: list[spans.Span]) -> None:
    """Its alerts were not there yet."""
    tell_attempt(destination(url="https://hook.example.com/"), delivery(), Outcome(Verdict.UNREADY, None), SLACK)
    assert told == []


def delivery() -> Delivery:
    return Delivery(id="d-1", destination="ops", kind=DeliveryKind.ALERT, state=DeliveryState.NEW, created_at=1)
