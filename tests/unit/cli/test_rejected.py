"""`twinstream rejected` as it is typed: what it asks for, what it shows, and how it exits."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

ROW: dict[str, Any] = {
    "id": "records.b/0/7",
    "stream": "b",
    "code": "undecodable",
    "detail": "It is no record\x1b[2J of stream B.",
    "rejected_by": "documents",
    "rejected_at": "2026-11-23T08:00:00.000Z",
    "size": 3,
    "truncated": False,
    "record_id": None,
    "replayed_at": None,
}
SHOWN = {**ROW, "text": None, "base64": b64encode(b"\xff{x").decode()}


def answered(*outcomes: str, errors: list[dict[str, Any]] | None = None) -> bytes:
    items = [
        {"id": f"r{n}", "outcome": one, "errors": errors or [], "replayed_at": None, "receipt": None}
        for n, one in enumerate(outcomes)
    ]
    return json.dumps({"dry_run": True, "items": items}).encode()


def bodies(service) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in service.requests]


def test_the_list_passes_its_filters_on_and_follows_the_pages(service, command) -> None:
    """For programs, one object per line."""
    pages = [{"items": [ROW], "next_cursor": "c"}, {"items": [ROW], "next_cursor": None}]
    service.answer = lambda _request: service.created(json.dumps(pages[len(service.requests)]).encode())
    result = command("rejected", "list", "--stream", "b", "--code", "undecodable", "--since", "2026-11-23T08:00:00Z")
    assert (result.status, result.json) == (0, [ROW, ROW])
    assert [request.path.partition("?")[2] for request in service.requests] == [
        "stream=b&code=undecodable&since=2026-11-23T08%3A00%3A00Z&limit=100",
        "stream=b&code=undecodable&since=2026-11-23T08%3A00%3A00Z&limit=99&cursor=c",
    ]


def test_the_list_shows_people_a_table_that_steers_nothing(service, command) -> None:
    service.will_answer(200, json.dumps({"items": [{**ROW, "replayed_at": "x"}], "next_cursor": None}).encode())
    result = command("rejected", "list", "--no-json")
    assert "records.b/0/7" in result.out
    assert "\x1b" not in result.out
    assert "2026-11-23 08:00:00" in result.out


def test_an_empty_list_says_so(service, command) -> None:
    """On standard error; a program reads nothing."""
    service.will_answer(200, b'{"items": [], "next_cursor": null}')
    result = command("rejected", "list", "--no-json")
    assert (result.status, result.out, result.err) == (0, "", "Nothing was rejected.\n")


def test_a_rejected_record_is_shown_with_what_can_be_read_of_its_bytes(service, command) -> None:
    service.will_answer(200, json.dumps(SHOWN).encode())
    result = command("rejected", "show", "records.b/0/7", "--no-json")
    assert "\\xff{x" in result.out
    assert "(undecodable)" in result.out
    assert "\x1b" not in result.out


def test_its_bytes_alone_can_be_taken_into_a_file(service, command) -> None:
    """To be mended there."""
    service.will_answer(200, json.dumps({**SHOWN, "base64": b64encode(b'{"number":').decode()}).encode())
    result = command("rejected", "show", "records.b/0/7", "--raw")
    assert (result.status, result.out) == (0, '{"number":')


def test_a_replay_is_a_dry_run_unless_told_otherwise(service, command) -> None:
    """It says so, and how to go on."""
    service.answer = lambda _request: service.created(answered("acceptable"))
    dry = command("rejected", "replay", "r0", "--no-json")
    done = command("rejected", "replay", "r0", "r0", "--yes")
    assert (dry.status, done.status) == (0, 0)
    assert "--yes" in dry.err
    assert bodies(service) == [
        {"items": [{"id": "r0", "records": None}], "dry_run": True},
        {"items": [{"id": "r0", "records": None}], "dry_run": False},
    ]


def test_what_would_not_be_accepted_is_told_with_its_reason(service, command) -> None:
    """And the exit status says that not all went well."""
    error = {"index": 0, "field": "text", "code": "missing_field", "detail": "text is missing."}
    service.will_answer(200, answered("refused", "unknown", errors=[error]))
    result = command("rejected", "replay", "r0", "r1", "--no-json")
    assert result.status == 1
    assert "refused  r0" in result.out
    assert "record 0: text is missing. (missing_field)" in result.out
    assert "unknown  r1" in result.out


def test_what_was_replayed_before_is_no_failure(service, command) -> None:
    """A script may run twice."""
    service.will_answer(200, answered("replayed_before"))
    assert command("rejected", "replay", "r0", "--yes").status == 0


def test_mended_records_come_from_a_file(service, command, tmp_path: Path) -> None:
    """A line each; several may go in one's place."""
    path = tmp_path / "mended.ndjson"
    path.write_bytes(b'{"number": 1.0}\n\n{"number": 2}\n')
    service.answer = lambda _request: service.created(answered("acceptable"))
    assert command("rejected", "replay", "r0", "--record", str(path)).status == 0
    assert bodies(service)[0]["items"] == [{"id": "r0", "records": [{"number": 1.0}, {"number": 2}]}]


def test_a_file_that_cannot_be_meant_is_refused_here(service, command, tmp_path: Path) -> None:
    """No JSON, no record, or for several at once."""
    broken, empty = tmp_path / "broken", tmp_path / "empty"
    broken.write_bytes(b'{"number": 1}\n{"number": \n')
    empty.write_bytes(b"\n")
    assert "Line 2 is not JSON" in command("rejected", "replay", "r0", "--record", str(broken)).err
    assert "no record in the file" in command("rejected", "replay", "r0", "--record", str(empty)).err
    assert command("rejected", "replay", "r0", "r1", "--record", str(broken)).status == 2
    assert service.requests == []
