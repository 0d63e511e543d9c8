"""A client of the running product, and a receiver of what it tells."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import quote

import httpx
import pytest
import pytest_asyncio
from standardwebhooks import Webhook


class Product(Protocol):
    """What `running` gives."""

    ingest_url: str
    query_url: str
    headers: Mapping[str, str]


class Client:
    """Sends and looks up, and waits for what was sent to be found."""

    def __init__(self, product: Product, http: httpx.AsyncClient) -> None:
        self.product = product
        self.http = http

    async def send(self, stream: str, records: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> httpx.Response:
        return await self.http.post(f"{self.product.ingest_url}/v1/streams/{stream}/records", json=records)

    async def get(self, stream: str, record_id: str) -> httpx.Response:
        return await self.http.get(f"{self.product.query_url}/v1/{stream}/{quote(record_id, safe='')}")

    async def found(self, stream: str, record_id: str, within_s: float = 60, **fields: object) -> dict[str, Any]:
        """The record, once it is there and its fields are as they should be."""
        async with asyncio.timeout(within_s):
            while True:
                answer = await self.get(stream, record_id)
                record: dict[str, Any] = answer.json()
                if answer.status_code == httpx.codes.OK and fields.items() <= record.items():
                    return record
                await asyncio.sleep(0.02)


@pytest_asyncio.fixture
async def client(running: Product) -> AsyncIterator[Client]:
    async with httpx.AsyncClient(headers=running.headers, timeout=60) as http:
        yield Client(running, http)


@pytest_asyncio.fixture
async def client_apart(apart: Product) -> AsyncIterator[Client]:
    async with httpx.AsyncClient(headers=apart.headers, timeout=60) as http:
        yield Client(apart, http)


class Receiver(ThreadingHTTPServer):
    """A webhook's: it verifies what comes with the library that receivers use."""

    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.secret = ""
        self.messages: list[tuple[float, str, dict[str, Any]]] = []  # when, under which id, what
        self.answer: Callable[[str], tuple[int, bool]] = lambda _id: (204, True)
        """What a message is answered, by its id, and whether it is taken."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def told(self) -> dict[str, list[str]]:
        """The alerts' records by the id of the message that told of them, whatever came twice taken once."""
        by_id = {id_: message["data"]["alerts"] for _, id_, message in list(self.messages)}
        return {id_: [alert["record"]["unique_identifier"] for alert in alerts] for id_, alerts in by_id.items()}


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        content, id_ = self.rfile.read(int(self.headers["Content-Length"])), self.headers["webhook-id"]
        message = Webhook(self.server.secret).verify(content, dict(self.headers))
        status, taken = self.server.answer(id_)
        if taken:
            self.server.messages.append((time.time(), id_, message))
        self.send_response(status)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def lasting_receiver() -> Iterator[Receiver]:
    """One for all tests of a module."""
    with receiving() as receiver:
        yield receiver
