"""A client that costs little beside what it measures: kept connections, prepared requests, answers hardly looked at."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Answer(NamedTuple):
    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection that is kept; one request at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._transport: Any = None
        self._answer: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if found and len(body) >= int(length[1] if length else 0) and self._answer is not None:
            self._received, answer, self._answer = b"", self._answer, None
            answer.set_result(Answer(int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None:
            self._answer.set_exception(exc or ConnectionError("the server closed the connection"))

    async def request(self, request: bytes) -> Answer:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        self._answer = None
        self._transport.close()


@asynccontextmanager
async def connected(url: str, count: int) -> AsyncIterator[list[Connection]]:
    """`count` connections to the host and port of `url`."""
    loop, where = asyncio.get_running_loop(), urlsplit(url)
    made = [
        await loop.create_connection(Connection, where.hostname or "127.0.0.1", where.port or 80) for _ in range(count)
    ]
    connections = [connection for _, connection in made]
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()


def request(method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """A request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", "host: bench", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def as_fast_as_it_goes(connections: Sequence[Connection], requests: Sequence[bytes], status: int = 200) -> float:
    """Send `requests`, one at a time on each connection; how many were answered per second."""
    left, started = iter(requests), time.perf_counter()
    await asyncio.gather(*(_one_after_the_other(connection, left, status) for connection in connections))
    return len(requests) / (time.perf_counter() - started)


async def _one_after_the_other(connection: Connection, left: Iterator[bytes], status: int) -> None:
    for one in left:
        _check(await connection.request(one), status)


async def at_a_rate(
    connections: Sequence[Connection], requests: Sequence[bytes], per_second: float, status: int = 200
) -> list[float]:
    """Send `requests` at a steady rate, whether earlier ones were answered or not.

    Returns:
        Seconds from when each was due to its answer: waiting for a free connection counts.
    """
    loop, free = asyncio.get_running_loop(), asyncio.LifoQueue[Connection]()
    for connection in connections:
        free.put_nowait(connection)
    began = loop.time() + 0.01

    async def one(due: float, raw: bytes) -> float:
        connection = await free.get()
        _check(await connection.request(raw), status)
        free.put_nowait(connection)
        return loop.time() - due

    under_way = []
    for n, raw in enumerate(requests):
        due = began + n / per_second
        await asyncio.sleep(max(0.0, due - loop.time()))
        under_way.append(asyncio.create_task(one(due, raw)))
    return await asyncio.gather(*under_way)


def _check(answer: Answer, status: int) -> None:
    """A fast error is no figure."""
    if answer.status != status:
        raise AssertionError(f"{answer.status} instead of {status}: {answer.body[:500]!r}")
