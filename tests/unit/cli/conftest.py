"""A small HTTP server that answers as it is told, for how the command meets services that are away or refuse."""

import json
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from common.receipts import encode_receipt
from twinstream.__main__ import main
from twinstream.target import Target

RECEIPT = encode_receipt({("records.b", 0): 7})
KEY = "tsk_0123456789ab_" + "0" * 64


@dataclass
class Answer:
    """One HTTP answer; None for `status` closes the connection without one."""

    status: int | None
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def lines(self) -> list[bytes]:
        return self.body.split(b"\n")


def problem(status: int, code: str, detail: str = "why", **extra: object) -> Answer:
    """A problem document as our services give it."""
    body = {"type": "urn:x", "title": f"Title of {code}", "status": status, "detail": detail, "code": code, **extra}
    return Answer(status, json.dumps(body).encode(), {"Content-Type": "application/problem+json"})


def ingested(request: Request) -> Answer:
    """What ingest says of the lines in a request: those with the word `bad` are refused."""
    errors = [
        {"index": index, "line": index + 1, "code": "missing_field", "detail": f"no {index}", "field": "text"}
        for index, line in enumerate(request.lines)
        if b"bad" in line
    ]
    accepted = len(request.lines) - len(errors)
    if not accepted:
        return problem(422, "records_refused", accepted=0, rejected=len(errors), errors=errors)
    body = {"accepted": accepted, "rejected": len(errors), "receipt": RECEIPT, "errors": errors}
    return Answer(207 if errors else 202, json.dumps(body).encode())


class Service:
    """Gives the answers in `script` first, then what `answer` says of a request; remembers all requests."""

    def __init__(self) -> None:
        self.answer: Callable[[Request], Answer] = ingested
        self.script: deque[Answer] = deque()
        self.requests: list[Request] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def expect(self, requests: int) -> threading.Event:
        """An event that is set once so many requests were answered by `answer`."""
        came = threading.Event()
        ordinary = self.answer

        def counting(request: Request) -> Answer:
            answer = ordinary(request)
            if len(self.requests) + 1 >= requests:
                came.set()
            return answer

        self.answer = counting
        return came

    problem = staticmethod(problem)

    @staticmethod
    def created(body: bytes) -> Answer:
        return Answer(201, body)

    def will_answer(self, status: int, body: bytes = b"{}", **headers: str) -> None:
        """Answer the next request so, without looking at it."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.script.append(Answer(status, body, named))

    def will_refuse(self, status: int, code: str, retry_after: str | None = None, **extra: object) -> None:
        """Answer the next request with a problem."""
        answer = problem(status, code, **extra)
        if retry_after is not None:
            answer.headers["Retry-After"] = retry_after
        self.script.append(answer)

    def will_hang_up(self) -> None:
        """Close the connection of the next request without an answer."""
        self.script.append(Answer(None))

    @property
    def accepted(self) -> list[bytes]:
        """All lines that were accepted, in the order of the requests."""
        return [
            line
            for request in self.requests
            if request.path.startswith("/v1/streams/")
            for line in request.lines
            if b"bad" not in line
        ]

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(self.command, self.path, dict(self.headers), body)
                if service.script:
                    answer = service.script.popleft()
                else:
                    answer = service.answer(request)
                    service.requests.append(request)
                if answer.status is None:
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_PUT = do_DELETE = do_POST  # noqa: N815  # the names that http.server looks for

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        return Handler


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    running.start()
    yield running
    running.stop()


@pytest.fixture
def target(service: Service, tmp_path: Path) -> Target:
    return Target(url=service.url, ingest_url=service.url, key=KEY, home=tmp_path)


@pytest.fixture
def surroundings(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The environment of a command that talks to `service`; returns its home."""
    for name, value in {
        "TWINSTREAM_URL": service.url,
        "TWINSTREAM_INGEST_URL": service.url,
        "TWINSTREAM_KEY": KEY,
        "TWINSTREAM_HOME": str(tmp_path / "home"),
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "home"


@dataclass
class Result:
    status: int
    out: str
    err: str

    @property
    def json(self) -> list[object]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def command(
    surroundings: Path,  # noqa: ARG001  # what it sets up, the command reads
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., Result]:
    """Runs `twinstream` with these arguments, as if typed, in an environment that leads to `service`."""

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["twinstream", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Result(int(ended.value.code or 0), captured.out, captured.err)

    return run
