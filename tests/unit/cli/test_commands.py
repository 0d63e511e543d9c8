"""The commands as they are typed: what they print, where, and how they exit."""

import json
import subprocess
import sys
from importlib.metadata import version

import pytest

from twinstream.records import grouped

RECORD = {
    "unique_identifier": "bash/5.2-1",
    "Stream_A_unique_identifier": "bash",
    "number": 1234.5,
    "text": "first line\nsecond \x1b[31mred\x1b[0m \u202eturned",
    "event_time": "2026-11-20T10:00:00.000Z",
    "ingested_at": "2026-11-23T08:00:00.000001Z",
    "first_seen": "2026-11-20T10:00:00.000Z",
}
KEY_ROW = {
    "id": "3f9a1c5be27d",
    "name": "loader\x1b[2J",
    "scopes": ["ingest", "read"],
    "created_at": "2026-11-23T08:00:00.000Z",
    "revoked_at": None,
}


def test_get_gives_programs_the_record_as_it_is(service, command) -> None:
    """One object on one line; nothing else on standard output."""
    service.will_answer(200, json.dumps(RECORD).encode())
    result = command("get", "b", "bash/5.2-1")
    assert (result.status, result.json, result.err) == (0, [RECORD], "")


def test_get_shows_people_a_record_without_letting_it_steer_their_terminal(service, command) -> None:
    """Escape sequences and characters that turn text around are shown, not obeyed."""
    service.will_answer(200, json.dumps(RECORD).encode())
    result = command("get", "b", "bash/5.2-1", "--no-json")
    assert result.status == 0
    for expected in ("bash/5.2-1", "parent", "1,234.5", "2026-11-20T10:00:00.000Z", "first line\nsecond \\x1b[31mred"):
        assert expected in result.out
    assert "\x1b" not in result.out
    assert "\u202e" not in result.out


def test_what_is_not_there_is_told_on_standard_error(service, command) -> None:
    """Title, code and detail; exit status 1."""
    service.will_refuse(404, "not_found", detail="There is no record of stream a with the id 'x'.")
    result = command("get", "a", "x")
    assert (result.status, result.out) == (1, "")
    assert result.err == ("Error: Title of not_found (not_found)\nThere is no record of stream a with the id 'x'.\n")


def test_children_gives_programs_one_record_per_line(service, command) -> None:
    """However many pages they came in."""
    service.will_answer(200, json.dumps({"items": [RECORD, RECORD], "next_cursor": "c"}).encode())
    service.will_answer(200, json.dumps({"items": [RECORD], "next_cursor": None}).encode())
    result = command("children", "bash", "--all")
    assert (result.status, result.json) == (0, [RECORD] * 3)


def test_children_shows_people_a_table_with_one_heading(service, command) -> None:
    """A text takes one line of it."""
    service.will_answer(200, json.dumps({"items": [RECORD], "next_cursor": "c"}).encode())
    service.will_answer(200, json.dumps({"items": [RECORD], "next_cursor": None}).encode())
    result = command("children", "bash", "--all", "--no-json")
    assert result.out.count("event time") == 1
    assert result.out.count("bash/5.2-1") == 2
    assert len(result.out.splitlines()) == 3
    assert all(len(line) <= 80 for line in result.out.splitlines())
    assert "\x1b" not in result.out


def test_children_of_an_a_without_any_says_so(service, command) -> None:
    """On standard error, so that a program reads nothing; it is no failure."""
    service.will_answer(200, b'{"items": [], "next_cursor": null}')
    result = command("children", "bash")
    assert (result.status, result.out, result.err) == (0, "", "bash has no B.\n")


def test_a_new_key_is_printed_alone(service, command) -> None:
    """On one line, however long it is, so that it can be taken up by a shell; what to know about it goes elsewhere."""
    token = "tsk_" + "0" * 100
    service.will_answer(201, json.dumps({**KEY_ROW, "key": token}).encode())
    result = command("keys", "create", "loader", "--scope", "ingest", "--scope", "read", "--no-json")
    assert result.out == f"{token}\n"
    assert "revoke 3f9a1c5be27d" in result.err


def test_making_a_key_is_not_tried_twice(service, command) -> None:
    """A key made by an attempt whose answer was lost would be in force and nobody would have it."""
    service.will_refuse(503, "unavailable", retry_after="0")
    result = command("keys", "create", "loader", "--scope", "ingest")
    assert result.status == 1
    assert "unavailable" in result.err
    assert service.requests == []


def test_keys_are_listed(service, command) -> None:
    """For people as a table, for programs line by line."""
    page = json.dumps({"items": [KEY_ROW, {**KEY_ROW, "revoked_at": "2026-11-24T08:00:00Z"}]}).encode()
    service.will_answer(200, page)
    shown = command("keys", "list", "--no-json").out.splitlines()
    assert len(shown) == 3
    assert "in force" in shown[1]
    assert "revoked" in shown[2]
    assert not any("\x1b" in line for line in shown)
    service.will_answer(200, page)
    assert [row["id"] for row in command("keys", "list").json] == [KEY_ROW["id"]] * 2


def test_a_key_is_revoked(service, command) -> None:
    """By its id."""
    service.answer = lambda request: service.created(b"{}") if request.method == "DELETE" else service.problem(500, "x")
    assert command("keys", "revoke", "3f9a1c5be27d").status == 0
    assert service.requests[0].path == "/v1/keys/3f9a1c5be27d"


@pytest.mark.parametrize(
    "arguments",
    [
        ["get", "c", "x"],
        ["get", "a"],
        ["children", "x", "--limit", "0"],
        ["children", "x", "--order", "size"],
        ["keys", "create", "x"],
        ["keys", "create", "x", "--scope", "root"],
        ["send", "/nonexistent.ndjson"],
        ["demo", "--rate", "fast"],
        ["demo", "--records", "0", "--synthetic"],
        ["--url", "localhost", "get", "a", "x"],
        ["--url", "http://localhost:port", "get", "a", "x"],
        ["--ingest-url", "ftp://localhost", "get", "a", "x"],
        ["nonsense"],
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_done(service, command, arguments: list[str]) -> None:
    """With the exit status that shells expect of a wrong usage."""
    result = command(*arguments)
    assert (result.status, result.out) == (2, "")
    assert "Error" in result.err
    assert service.requests == []


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (5.0, "5"),
        (1234567.891, "1,234,567.891"),
        (-0.25, "-0.25"),
        (1e300, "1e+300"),
        (2.0**53, "9,007,199,254,740,992"),
    ],
)
def test_numbers_keep_their_digits(number: float, shown: str) -> None:
    """Grouped for people, not rounded."""
    assert grouped(number) == shown


def test_the_version_is_told(command) -> None:
    """Alone on a line."""
    assert command("--version").out == f"{version('twinstream')}\n"


@pytest.mark.usefixtures("surroundings")
def test_a_reader_that_has_seen_enough_ends_the_command(service) -> None:
    """Without a word, as in `twinstream children x --all | head`."""
    page = json.dumps({"items": [RECORD] * 1000, "next_cursor": "c"}).encode()
    service.answer = lambda _request: service.created(page)
    with subprocess.Popen(
        [sys.executable, "-m", "twinstream", "children", "x", "--all"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert json.loads(running.stdout.readline()) == RECORD
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(60) == 1


def test_an_id_is_erased_only_when_it_is_meant(service, command) -> None:
    """It cannot be undone; the command ends once lookups and counts have followed."""
    answers = [b'{"receipt": "r"}', b"{}", b"{}"]
    service.answer = lambda _request: service.created(answers[len(service.requests)])
    assert "--yes" in command("erase", "b", "b/1").err
    assert service.requests == []
    result = command("erase", "b", "b/1", "--yes")
    assert (result.status, result.out) == (0, "")
    assert [(request.method, request.path.partition("?")[0]) for request in service.requests] == [
        ("DELETE", "/v1/b/b%2F1"),
        ("GET", "/v1/a/%3F/b"),
        ("GET", "/v1/counts/b"),
    ]
    assert all("wait_for=r" in request.path for request in service.requests[1:])
