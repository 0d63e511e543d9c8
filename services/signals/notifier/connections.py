"""HTTP connections to where people send us: each address is looked at when its socket is made, whatever named it.

A name that leads elsewhere by the time we connect, an address in any spelling and a redirect all end here.
"""

import socket
from typing import Any

import aiohttp

from delivery.addresses import refusal_of


class RefusedAddressError(OSError):
    """Nothing may be sent there."""


def guarded_session(*, allow_loopback: bool) -> aiohttp.ClientSession:
    """A session without cookies, and without the environment's proxies: they would connect in our stead."""

    def make_socket(info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        refusal = refusal_of(address[0], allow_loopback=allow_loopback)
        if refusal is not None:
            raise RefusedAddressError(refusal)
        return socket.socket(family, kind, protocol)

    connector = aiohttp.TCPConnector(limit=0, socket_factory=make_socket)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)


def reason(error: Exception) -> str:
    """What went wrong with a call, in words that hold no URL."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection: {error.os_error}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) if isinstance(error, RefusedAddressError) else type(error).__name__
