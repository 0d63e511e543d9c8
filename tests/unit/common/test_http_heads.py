"""How a request begins and goes on: within bounds, and soon, or the connection ends."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from fastapi import FastAPI, Request

from common.http import heads
from common.http.app import serve
from localstack.free_ports import free_port


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    """An app that answers everything, served as ours are."""
    app, port, stop, listening = FastAPI(), free_port(), asyncio.Event(), asyncio.Event()

    @app.post("/whole")
    async def answer_to_all(request: Request) -> int:
        return len(await request.body())

    @app.post("/{rest:path}")
    async def answer(rest: str) -> int:
        return len(rest)

    serving = asyncio.create_task(serve(app, "127.0.0.1", port, stop, listening))
    await asyncio.wait_for(listening.wait(), 60)
    yield port
    stop.set()
    await serving


def request(path: str = "/", header: str = "short", body: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-Long: {header}\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


async def sent(port: int, *pieces: bytes, answers: int = 1) -> list[str]:
    """The first line of each of so many answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found: list[str] = []
    try:
        async with asyncio.timeout(60):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            while len(found) < answers:
                line = (await reader.readline()).decode().strip()  # what stands before is the body of the last answer
                found += [line[line.index("HTTP/") :]] if "HTTP/" in line else []
    finally:
        writer.close()
    return found


async def test_what_begins_as_it_should_is_answered(port: int) -> None:
    """Several on one connection, large bodies between them, cut anywhere."""
    whole = request(body="x" * 300_000) + request(header="y" * 30_000) + request(path="/" + "z" * 30_000)
    pieces = [whole[start : start + 50_000] for start in range(0, len(whole), 50_000)]
    assert await sent(port, *pieces, answers=3) == ["HTTP/1.1 200 OK"] * 3


@pytest.mark.parametrize("large", [request(header="y" * 70_000), request(path="/" + "z" * 70_000)])
async def test_a_head_that_is_too_large_is_refused(port: int, large: bytes) -> None:
    """Whole in one piece."""
    assert await sent(port, large) == ["HTTP/1.1 431 Request Header Fields Too Large"]


async def test_a_head_without_end_is_refused_while_it_comes(port: int) -> None:
    """Long before as much has come as was meant to be sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nX-Long: ")
    refused = asyncio.create_task(reader.readline())
    async with asyncio.timeout(60):
        while not refused.done():
            writer.write(b"y" * 1000)
            await asyncio.wait([refused], timeout=0.001)
        assert (await refused).startswith(b"HTTP/1.1 431")
    writer.close()


async def test_a_head_that_takes_its_time_is_refused(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then would hold a connection for ever."""
    monkeypatch.setattr(heads, "HEAD_WITHIN_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n")
    async with asyncio.timeout(60):
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    writer.close()


async def test_a_connection_that_says_nothing_is_closed(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answer, for nothing was asked."""
    monkeypatch.setattr(heads, "FIRST_BYTE_WITHIN_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(60):
        assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("size", [10, 1_000_000])
async def test_a_body_that_stops_halfway_is_given_up(port: int, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """What has come of it would be kept for ever, and count against what others may send."""
    monkeypatch.setattr(heads, "BODY_SILENT_FOR_S", 0.2)
    assert await sent(port, request("/whole", body="x" * size)[: -size // 2]) == ["HTTP/1.1 408 Request Timeout"]


async def test_one_that_was_answered_before_is_not_answered_twice(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection ends."""
    monkeypatch.setattr(heads, "BODY_SILENT_FOR_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(body="x" * 10)[:-5])
    async with asyncio.timeout(60):
        assert (await reader.read()).count(b"HTTP/1.1") == 1
    writer.close()


async def test_a_body_that_comes_slowly_is_waited_for(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes in all."""
    monkeypatch.setattr(heads, "BODY_SILENT_FOR_S", 1.0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    whole = request("/whole", body="x" * 12)
    for piece in (whole[:-12], *[b"x"] * 12):
        writer.write(piece)
        await asyncio.sleep(0.1)
    async with asyncio.timeout(60):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
