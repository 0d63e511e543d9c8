"""Rules in the terminal: what is sent, what people and programs see, and how it ends."""

import json

RULE = {
    "name": "refunds",
    "version": 42,
    "match_revision": "9b3c41d07f5ae268",
    "streams": ["b"],
    "keywords": ["refund", "money\u202e back"],
    "regexes": ["(?i)x+"],
    "all": {"keywords": ["order"]},
    "none": {},
    "when": "number > 1.0",
    "severity": "critical",
    "destinations": ["ops"],
    "cooldown_seconds": 0,
    "group_seconds": 60,
    "enabled": True,
}
RAW = json.dumps(RULE).encode()


def created(service) -> None:
    service.answer = lambda _: service.created(RAW)


def sent(service) -> dict[str, object]:
    (request,) = service.requests
    body: dict[str, object] = json.loads(request.body)
    return body


def test_options_make_a_rule(service, command) -> None:
    """Each option is a field; what is not said is left to the service."""
    created(service)
    options = ["-k", "refund", "-k", "money back", "-r", "x+", "--all", "order", "--none", "test"]
    options += ["--when", "number > 1.0", "--stream", "b", "--severity", "critical", "-d", "ops", "--group", "60"]
    result = command("rules", "create", "refunds", *options)
    assert (result.status, result.json) == (0, [RULE])
    assert sent(service) == {
        "name": "refunds",
        "keywords": ["refund", "money back"],
        "regexes": ["x+"],
        "all": {"keywords": ["order"]},
        "none": {"keywords": ["test"]},
        "when": "number > 1.0",
        "streams": ["b"],
        "severity": "critical",
        "destinations": ["ops"],
        "group_seconds": 60,
    }


def test_what_get_shows_can_be_handed_in_again(service, command, tmp_path) -> None:
    """Without what only an answer has, and under the name that is typed."""
    created(service)
    (tmp_path / "rule.json").write_bytes(RAW)
    assert command("rules", "create", "copy", "--file", str(tmp_path / "rule.json")).status == 0
    asked = {name: value for name, value in RULE.items() if name not in {"version", "match_revision"}}
    assert sent(service) == {**asked, "name": "copy"}


def test_a_file_that_holds_no_rule_is_told(command, tmp_path) -> None:
    (tmp_path / "rule.json").write_text("[1")
    result = command("rules", "create", "copy", "--file", str(tmp_path / "rule.json"))
    assert (result.status, result.out) == (1, "")
    assert "holds no rule" in result.err


def test_people_see_a_line_for_each_rule(service, command) -> None:
    """Whatever stands in them steers no terminal; all pages are read."""
    service.will_answer(200, json.dumps({"items": [RULE], "next_cursor": "refunds"}).encode())
    service.will_answer(200, json.dumps({"items": [{**RULE, "enabled": False}], "next_cursor": None}).encode())
    result = command("rules", "list", "--no-json")
    lines = result.out.splitlines()
    assert len([line for line in lines if line.startswith("refunds")]) == 2
    assert "(disabled)" in result.out
    for expected in ('"refund"', "\\u202e", "/(?i)x+/", 'all of "order"', "number > 1.0", "ops", "critical"):
        assert expected.replace(" ", "") in "".join(result.out.split())
    assert "\u202e" not in result.out


def test_a_text_is_marked_where_a_rule_holds(service, command) -> None:
    found = [{"field": "text", "start": 2, "end": 8, "text": "REFUND", "pattern": "refund"}]
    steps = [{"check": "any", "passed": True, "detail": "'refund' stands at 2 to 8", "reason": None}]
    service.will_answer(200, json.dumps({"matched": True, "matches": found, "explain": steps}).encode())
    result = command("rules", "test", "a REFUND", "-k", "refund", "--no-json")
    assert (result.status, result.out) == (0, "a REFUND\n✓ any: 'refund' stands at 2 to 8\n")


def test_a_text_that_a_rule_does_not_hold_for_is_explained_and_the_exit_tells(service, command) -> None:
    steps = [{"check": "any", "passed": False, "detail": "within 'refunds'", "reason": "boundary"}]
    service.will_answer(200, json.dumps({"matched": False, "matches": [], "explain": steps}).encode())
    result = command("rules", "test", "refunds", "--rule", "refunds", "--no-json")
    assert (result.status, result.out) == (1, "refunds\n✗ any: within 'refunds'\n")


def test_the_past_in_a_few_lines(service, command) -> None:
    """How often, whom, and what it looked like."""
    match = {"field": "text", "start": 0, "end": 6, "text": "refund", "pattern": "refund"}
    past = {
        "window_start": "2026-11-22T08:00:00.000Z",
        "complete": False,
        "records": 41600,
        "hits": 9,
        "alerts": 3,
        "samples": [{"record": {"unique_identifier": "b-1", "text": "refund me"}, "matches": [match]}],
        "destinations": [{"name": "ops", "messages": 2, "busiest_hour": 1}],
    }
    service.will_answer(200, json.dumps(past).encode())
    result = command("rules", "backtest", "refunds", "--no-json")
    assert "3 alerts out of 9 hits in 41,600 records since 2026-11-22T08:00:00Z" in result.out
    assert "b-1  refund me" in result.out
    assert "ops" in result.out


def test_a_rule_is_disabled_by_handing_it_in_disabled(service, command) -> None:
    """And deleted, with a word on standard error."""
    service.will_answer(200, RAW)
    created(service)
    result = command("rules", "disable", "refunds")
    assert (result.status, result.out, result.err) == (0, "", "refunds is disabled.\n")
    assert sent(service)["enabled"] is False
    assert command("rules", "delete", "refunds").err == "refunds is deleted.\n"
