"""The commands about alerts, destinations, silences and deliveries: what they ask for, and what they print."""

import io
import json
import sys
from typing import Any

import pytest

ALERT: dict[str, Any] = {
    "id": "5f0c1e7b9a2d4c6e8f10a3b5c7d9e1f2",
    "rule": "refunds",
    "rule_version": 42,
    "severity": "warning",
    "stream": "b",
    "record": {"unique_identifier": "b-1", "text": "Please \x1b[31mrefund\nmy order"},
    "matches": [{"field": "text", "start": 12, "end": 18, "text": "refund", "pattern": "refund"}],
    "raised_at": "2026-11-23T08:00:01.262Z",
    "state": "open",
    "deliveries": [{"destination": "ops", "state": "failed", "detail": "answered 500"}],
}
DELIVERY: dict[str, Any] = {
    "id": f"{ALERT['id']}-ops",
    "created_at": "2026-11-23T08:00:01.280Z",
    "state": "failed",
    "tries": 2,
    "detail": "answered 500",
    "message": None,
    "attempts": [
        {"at": "2026-11-23T08:00:01.310Z", "latency_ms": 42, "error": "answered 500", "response": "oops\x1b[2J"},
        {"at": "2026-11-23T08:00:06.310Z", "latency_ms": 12, "error": None, "response": None},
    ],
}
DESTINATION: dict[str, Any] = {
    "name": "ops",
    "kind": "webhook",
    "url": "https://ops.example.com/",
    "channel": None,
    "state": "failing",
    "last_error": "answered 500",
    "failing_since": "2026-11-23T08:00:01.310Z",
    "secret": "whsec_abc",
}
SILENCE: dict[str, Any] = {
    "id": "7c1e94ab03d5",
    "state": "active",
    "starts_at": "2026-11-23T20:00:00.000Z",
    "ends_at": "2026-11-23T21:30:00.000Z",
    "rule": "refunds",
    "severity": None,
    "destination": None,
    "stream": None,
    "a_id": "a-1",
    "comment": "moving",
}


def answers(service: Any, body: object) -> None:
    service.answer = lambda _request: service.created(json.dumps(body).encode())


def page(*items: object) -> dict[str, object]:
    return {"items": list(items), "next_cursor": None}


def test_alerts_are_listed_by_what_is_asked_for(service, command) -> None:
    """For people in a table that no text can break."""
    answers(service, page(ALERT))
    result = command("alerts", "list", "--rule", "refunds", "--severity", "warning", "--a", "p", "--no-json")
    assert result.status == 0
    for told in (ALERT["id"][:10], "warning", "refunds", "open", "refund"):
        assert told in result.out.replace("\n", "")
    assert "\x1b" not in result.out
    assert service.requests[0].path == "/v1/alerts?rule=refunds&severity=warning&a_id=p&limit=50"
    answers(service, page(ALERT))
    assert command("alerts", "list").json == [ALERT]
    answers(service, page())
    assert "no such alerts" in command("alerts", "list", "--no-json").err


def test_an_alert_is_shown_with_whom_it_reached(service, command) -> None:
    """What matched, and what became of it at each destination."""
    answers(service, ALERT)
    shown = command("alerts", "show", ALERT["id"], "--no-json").out
    assert "refunds (version 42)" in shown
    assert "ops failed answered 500" in shown
    assert "\\x1b[31mrefund" in shown


def test_alerts_are_acknowledged_and_resolved(service, command) -> None:
    """Several at once."""
    answers(service, {**ALERT, "state": "acknowledged"})
    result = command("alerts", "ack", "x", "y")
    assert result.err.count("is acknowledged.") == 2
    assert [request.path for request in service.requests] == ["/v1/alerts/x/ack", "/v1/alerts/y/ack"]
    command("alerts", "resolve", "x")
    assert service.requests[-1].path == "/v1/alerts/x/resolve"


def test_rules_are_counted(service, command) -> None:
    """Since a moment."""
    counts = {"rule": "refunds", "count": 1234, "last_raised_at": "2026-11-23T08:00:01.262Z", "hits": 56789}
    answers(service, page(counts))
    result = command("alerts", "counts", "--since", "2026-11-23T00:00:00Z", "--no-json")
    assert "1,234" in result.out
    assert "56,789" in result.out
    assert service.requests[0].path == "/v1/alerts/counts?since=2026-11-23T00%3A00%3A00Z"


def test_a_webhooks_secret_is_printed_alone(service, command) -> None:
    """So that a shell can take it up."""
    answers(service, DESTINATION)
    result = command("destinations", "create", "ops", "--url", "https://ops.example.com/", "--no-json")
    assert result.out == "whsec_abc\n"
    assert "destinations test ops" in result.err
    assert json.loads(service.requests[0].body)["kind"] == "webhook"


@pytest.mark.parametrize(
    ("options", "way"),
    [(["--channel", "#a"], {"token": "xoxb-1", "channel": "#a"}), (["--slack-incoming"], {"url": "xoxb-1"})],
)
def test_a_token_is_read_from_standard_input(
    service, command, monkeypatch: pytest.MonkeyPatch, options: list[str], way: dict[str, str]
) -> None:
    """Others of the machine can see what a command is called with."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("xoxb-1\n"))
    answers(service, {**DESTINATION, "secret": None})
    assert command("destinations", "create", "team", *options, "--no-json").out == ""
    assert way.items() <= json.loads(service.requests[0].body).items()


def test_a_missing_token_is_told(service, command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked of the service then."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    result = command("destinations", "create", "team", "--channel", "#a")
    assert (result.status, service.requests) == (1, [])
    assert "standard input" in result.err


@pytest.mark.parametrize("options", [[], ["--url", "https://x/", "--slack-incoming"]])
def test_a_destination_is_of_one_kind(service, command, options: list[str]) -> None:
    """Told apart by how it is reached."""
    assert command("destinations", "create", "x", *options).status == 2
    assert service.requests == []


def test_destinations_are_listed_with_how_they_do(service, command) -> None:
    """What failed last, and since when."""
    answers(service, page(DESTINATION))
    shown = command("destinations", "list", "--no-json").out
    for told in ("ops", "webhook", "failing", "answered 500 since 2026-11-23"):
        assert told in " ".join(shown.split())


@pytest.mark.parametrize(("state", "status"), [("delivered", 0), ("failed", 1)])
def test_a_trial_tells_by_its_exit_too(service, command, state: str, status: int) -> None:
    """So that a script can go by it."""
    answers(service, {**DELIVERY, "state": state})
    result = command("destinations", "test", "ops", "--no-json")
    assert (result.status, result.out) == (status, f"{state} answered 500 in 12 ms\n")
    assert service.requests[0].path == "/v1/destinations/ops/test"


def test_a_secret_is_rotated_and_a_destination_deleted(service, command) -> None:
    """The new secret is printed alone."""
    answers(service, DESTINATION)
    assert command("destinations", "rotate", "ops", "--keep-former-hours", "1", "--no-json").out == "whsec_abc\n"
    assert json.loads(service.requests[0].body) == {"keep_former_hours": 1.0}
    assert "ops is deleted." in command("destinations", "delete", "ops").err


def test_a_silence_names_what_it_is_told(service, command) -> None:
    """And nothing else: what it leaves open, it silences all of."""
    answers(service, SILENCE)
    shown = command("silences", "create", "--rule", "refunds", "--a", "a-1", "--minutes", "90", "--no-json").out
    assert "rule refunds, a_id" in " ".join(shown.split())
    body = json.loads(service.requests[0].body)
    assert body == {"rule": "refunds", "a_id": "a-1", "minutes": 90.0, "comment": ""}
    answers(service, page(SILENCE))
    assert command("silences", "list").json == [SILENCE]
    answers(service, SILENCE)
    assert "is over." in command("silences", "delete", SILENCE["id"]).err


def test_deliveries_are_listed_shown_and_sent_again(service, command) -> None:
    """Attempt by attempt; an answer cannot steer the terminal."""
    answers(service, page(DELIVERY))
    listed = command("deliveries", "list", "--state", "failed", "--destination", "ops", "--no-json")
    assert "answered 500" in " ".join(listed.out.split())
    assert service.requests[0].path == "/v1/deliveries?destination=ops&state=failed&limit=50"
    answers(service, DELIVERY)
    shown = command("deliveries", "show", DELIVERY["id"], "--no-json").out
    assert "42 ms  answered 500  oops\\x1b[2J" in shown
    assert "12 ms  arrived" in shown
    answers(service, {**DELIVERY, "state": "pending"})
    assert "is pending." in command("deliveries", "redeliver", DELIVERY["id"]).err
