"""Connections are refused by the address that they would be made to, whatever leads there."""

import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from signals.notifier.connections import guarded_session, reason


class Rebinding(AbstractResolver):
    """A name server that tells one address first and another one afterwards."""

    def __init__(self, *hosts: str) -> None:
        self._hosts = list(hosts)

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002
    ) -> list[ResolveResult]:
        address = self._hosts.pop(0) if len(self._hosts) > 1 else self._hosts[0]
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing is held."""


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="a secret of this machine")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


async def asked(session: aiohttp.ClientSession, url: str) -> str:
    async with session.get(url) as response:
        return await response.text()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]"],  # noqa: S104  # asked, not bound
)
async def test_this_machine_is_refused_in_every_spelling(port: int, host: str) -> None:
    """The system resolves them all to an address, and that is what is looked at."""
    async with guarded_session(allow_loopback=False) as session:
        with pytest.raises(aiohttp.ClientError) as failed:
            await asked(session, f"http://{host}:{port}/")
    assert "secret of this machine" not in str(failed.value)
    assert reason(failed.value)


async def test_where_it_is_allowed_this_machine_answers(port: int) -> None:
    """For `make up`, and for tests."""
    async with guarded_session(allow_loopback=True) as session:
        assert await asked(session, f"http://127.0.0.1:{port}/") == "a secret of this machine"


async def test_a_name_that_changes_its_mind_is_refused(port: int) -> None:
    """Looked at before, it would have been a public address; what counts is where we connect."""
    async with guarded_session(allow_loopback=False) as session:
        connector: Any = session.connector
        connector._resolver = Rebinding("127.0.0.1")
        connector._use_dns_cache = False
        with pytest.raises(aiohttp.ClientConnectorError) as failed:
            await asked(session, f"http://ops.example.com:{port}/")
    assert "127.0.0.1 is no address of the public internet" in reason(failed.value)


async def test_a_redirect_inwards_is_refused_even_if_followed(port: int) -> None:
    """Nothing of ours follows one; were it followed, the next connection is looked at, too."""

    async def lead(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"http://10.0.0.1:{port}/"})

    app = web.Application()
    app.router.add_get("/", lead)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with guarded_session(allow_loopback=True) as session:
        with pytest.raises(aiohttp.ClientConnectorError) as failed:
            await asked(session, f"http://127.0.0.1:{runner.addresses[0][1]}/")
    await runner.cleanup()
    assert "10.0.0.1 is no address of the public internet" in reason(failed.value)


async def test_proxies_of_the_environment_are_not_used(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would connect in our stead, to whatever they are asked for."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with guarded_session(allow_loopback=True) as session:
        assert await asked(session, f"http://127.0.0.1:{port}/") == "a secret of this machine"
