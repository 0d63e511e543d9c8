"""The HTTP client: what it says when something is wrong, and how long it tries."""

import json
import socket
import threading
from dataclasses import replace

import pytest

from common.contracts import Scope, Stream
from localstack.free_ports import free_port
from twinstream.client import Client, segment
from twinstream.errors import CliError, MissingKeyError, ProblemError, UnreachableError
from twinstream.retries import RetryPolicy


class Sleeps:
    """Takes down how long the client would have waited, and lets it go on at once."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.told: list[tuple[str, float]] = []

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)

    def waiting(self, why: str, seconds: float) -> None:
        self.told.append((why, seconds))


def client_of(target, sleeps: Sleeps, patience_s: float = 60) -> Client:
    return Client(target, retries=RetryPolicy(patience_s), waiting=sleeps.waiting, sleep=sleeps.sleep)


@pytest.mark.parametrize(
    ("record_id", "path"),
    [
        ("x", "/v1/b/x"),
        ("bash/5.2-1", "/v1/b/bash%2F5.2-1"),
        ("a b", "/v1/b/a%20b"),
        ("100%", "/v1/b/100%25"),
        ("%2F", "/v1/b/%252F"),
        ("?#&+;=", "/v1/b/%3F%23%26%2B%3B%3D"),
        ("..", "/v1/b/%2E%2E"),
        (".", "/v1/b/%2E"),
        ("../x", "/v1/b/..%2Fx"),
        ("漢😀", "/v1/b/%E6%BC%A2%F0%9F%98%80"),
    ],
)
async def test_an_id_is_one_segment_of_the_path(service, target, record_id: str, path: str) -> None:
    """Whatever characters it has, it arrives as it is."""
    service.will_answer(200, b'{"unique_identifier":"x"}')
    seen = []
    async with Client(target) as client:
        client._http.event_hooks["request"].append(_taking_down(seen))
        await client.record(Stream.B, record_id)
    assert seen == [path]
    assert segment(record_id) == path.removeprefix("/v1/b/")


def _taking_down(seen: list[str]):
    async def take_down(request) -> None:
        seen.append(request.url.raw_path.decode())

    return take_down


async def test_every_call_carries_the_key(service, target) -> None:
    """As a bearer token."""
    async with Client(target) as client:
        await client.ingest(Stream.A, b"{}")
    assert service.requests[0].headers["Authorization"] == f"Bearer {target.key}"
    assert service.requests[0].headers["Content-Type"] == "application/x-ndjson"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_what_may_pass_is_tried_again(service, target, status: int) -> None:
    """Waiting as long as the server asks for, and telling why."""
    service.will_refuse(status, "unavailable", retry_after="7")
    service.will_refuse(status, "unavailable", retry_after="9")
    sleeps = Sleeps()
    async with client_of(target, sleeps) as client:
        answer = await client.ingest(Stream.A, b"{}")
    assert answer.accepted == 1
    assert sleeps.seconds == [7.0, 9.0]
    assert sleeps.told == [("Title of unavailable", 7.0), ("Title of unavailable", 9.0)]


async def test_a_broken_connection_is_tried_again(service, target) -> None:
    """Once the service has been reached, its absence may pass."""
    sleeps = Sleeps()
    async with client_of(target, sleeps) as client:
        await client.ingest(Stream.A, b"{}")
        service.will_hang_up()
        service.will_hang_up()
        answer = await client.ingest(Stream.A, b"{}")
    assert answer.accepted == 1
    assert len(sleeps.seconds) == 2


async def test_patience_ends(service, target) -> None:
    """Then the last answer is the error."""
    service.will_refuse(503, "unavailable", retry_after="11")
    sleeps = Sleeps()
    async with client_of(target, sleeps, patience_s=10) as client:
        with pytest.raises(ProblemError) as caught:
            await client.ingest(Stream.A, b"{}")
    assert (caught.value.status, caught.value.code) == (503, "unavailable")
    assert sleeps.seconds == []


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 415, 422])
async def test_what_will_not_pass_is_told_at_once(service, target, status: int) -> None:
    """With everything the problem says."""
    service.will_refuse(status, "some_code", detail="some detail", trace_id="f" * 32)
    async with client_of(target, sleeps := Sleeps()) as client:
        with pytest.raises(ProblemError) as caught:
            await client.record(Stream.A, "x")
    error = caught.value
    assert (error.title, error.detail, error.code) == ("Title of some_code", "some detail", "some_code")
    assert (error.status, error.trace_id, error.errors) == (status, "f" * 32, [])
    assert sleeps.seconds == []


async def test_errors_of_parameters_do_not_hide_the_problem(service, target) -> None:
    """They have another form than those of records; the detail says it all."""
    service.will_refuse(422, "invalid_parameter", errors=[{"at": "query.limit", "detail": "too small"}])
    async with client_of(target, Sleeps()) as client:
        with pytest.raises(ProblemError) as caught:
            await client.record(Stream.A, "x")
    assert caught.value.code == "invalid_parameter"


@pytest.mark.parametrize(
    ("status", "body"), [(404, b"<h1>Not Found</h1>"), (200, b"<h1>Hello</h1>"), (200, b"\xff"), (400, b"[]")]
)
async def test_a_stranger_at_the_address_is_told(service, target, status: int, body: bytes) -> None:
    """What listens there may be something else altogether."""
    service.will_answer(status, body)
    async with client_of(target, Sleeps()) as client:
        with pytest.raises(ProblemError, match="does not speak as Twinstream does") as caught:
            await client.keys()
    assert "--url" in caught.value.detail


async def test_where_nothing_listens_is_told_with_what_to_do(target) -> None:
    """At once, for it has never been reached; which address, and how to start it."""
    url = f"http://127.0.0.1:{free_port()}"
    async with client_of(replace(target, url=url), sleeps := Sleeps()) as client:
        with pytest.raises(UnreachableError) as caught:
            await client.record(Stream.A, "x")
    assert caught.value.title == f"Nothing answers at {url}"
    assert "make up" in caught.value.detail
    assert sleeps.seconds == []


async def test_where_something_else_than_http_listens_is_told(target) -> None:
    """Such as Kafka."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with client_of(replace(target, url=url), Sleeps()) as client:
            client._http.event_hooks["request"].append(_hanging_up(listener))
            with pytest.raises(UnreachableError):
                await client.record(Stream.A, "x")


def _hanging_up(listener: socket.socket):
    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"\x00\x00\x00\x00garbage\r\n\r\n")

    async def hook(_request) -> None:
        threading.Thread(target=answer, daemon=True).start()

    return hook


async def test_pages_follow_their_cursors(service, target) -> None:
    """Until there are no more, or as many as were wanted."""
    pages = {None: ([1, 2], "c1"), "c1": ([3, 4], "c2"), "c2": ([5], None)}
    asked: list[str] = []
    async with Client(target) as client:

        async def answer(request) -> None:
            asked.append(request.url.raw_path.decode())
            items, cursor = pages[request.url.params.get("cursor")]
            service.will_answer(200, json.dumps({"items": items, "next_cursor": cursor}).encode())

        client._http.event_hooks["request"].append(answer)
        everything = [bytes(raw) async for page in client.children("x/y", order="id", since="5") for raw in page]
        some = [bytes(raw) async for page in client.children("x/y", order="time", limit=4) for raw in page]
    assert everything == [b"1", b"2", b"3", b"4", b"5"]
    assert some == [b"1", b"2", b"3", b"4"]
    assert asked == [
        "/v1/a/x%2Fy/b?limit=1000&order=id&since=5",
        "/v1/a/x%2Fy/b?limit=1000&order=id&since=5&cursor=c1",
        "/v1/a/x%2Fy/b?limit=1000&order=id&since=5&cursor=c2",
        "/v1/a/x%2Fy/b?limit=4&order=time",
        "/v1/a/x%2Fy/b?limit=2&order=time&cursor=c1",
    ]


async def test_a_key_is_asked_for_by_name_and_scopes(service, target) -> None:
    """The answer is given on as it came."""
    service.answer = lambda _request: service.created(b'{"id":"k","key":"tsk"}')
    async with Client(target) as client:
        made = await client.create_key("loader", [Scope.INGEST, Scope.READ])
    assert json.loads(service.requests[0].body) == {"name": "loader", "scopes": ["ingest", "read"]}
    assert bytes(made) == b'{"id":"k","key":"tsk"}'


def test_without_a_key_it_is_said_where_keys_come_from(target) -> None:
    """Before anything is sent."""
    with pytest.raises(MissingKeyError) as caught:
        Client(replace(target, key=None))
    assert str(target.key_file) in caught.value.detail
    assert "make up" in caught.value.detail
    assert "TWINSTREAM_KEY" in caught.value.detail


def test_the_key_file_serves_where_no_key_was_given(target) -> None:
    """What stands around the key in it does not matter; a given key comes first."""
    target.key_file.write_text("  tsk_file\n")
    assert replace(target, key=None).token() == "tsk_file"
    assert target.token() == target.key


@pytest.mark.parametrize("key", ["tsk_\n1", "tsk_ä", "a\x00b"])
def test_what_cannot_be_a_key_is_told(target, key: str) -> None:
    """Rather than sent in a header."""
    with pytest.raises(CliError, match="no API key"):
        replace(target, key=key).token()
