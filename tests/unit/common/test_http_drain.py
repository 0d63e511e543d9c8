"""A process that is to stop refuses new connections and answers those that are open, so that no request is lost."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from common.health import Health
from common.http.app import create_app, serve
from localstack.free_ports import free_port


@pytest.fixture
def app() -> FastAPI:
    return create_app("test", title="t", description="d", authenticator=None, health=Health())  # type: ignore[arg-type]  # no route asks it


async def test_what_is_open_is_answered_once_more_and_told_to_close(app: FastAPI) -> None:
    """Whoever comes anew is refused, and takes another replica."""
    port, stop, listening = free_port(), asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(serve(app, "127.0.0.1", port, stop, listening, drain_ms=20_000))
    await listening.wait()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client, httpx.AsyncClient() as other:
        assert "connection" not in (await client.get("/healthz")).headers
        stop.set()
        async with asyncio.timeout(60):
            while not app.state.draining:
                await asyncio.sleep(0.01)
        assert not listening.is_set()
        with pytest.raises(httpx.ConnectError):
            await other.get(f"http://127.0.0.1:{port}/healthz")
        last = await client.get("/healthz")
        assert (last.status_code, last.headers["connection"]) == (200, "close")
    async with asyncio.timeout(60):  # all are gone: it need not wait any longer
        await serving


async def test_a_connection_that_stays_open_holds_nobody_up(app: FastAPI) -> None:
    """Once the time for it is over."""
    port, stop, listening = free_port(), asyncio.Event(), asyncio.Event()
    serving = asyncio.create_task(serve(app, "127.0.0.1", port, stop, listening, drain_ms=200))
    await listening.wait()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        await client.get("/healthz")
        stop.set()
        async with asyncio.timeout(60):
            await serving
