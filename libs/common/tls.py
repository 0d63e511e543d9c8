"""TLS towards a server: whom we trust, and why no connection came about.

Drivers tell of a server that cannot be reached, whatever the reason. Some reasons pass by themselves. A certificate of
an unknown authority, or TLS on one side alone, does not: a start that waits for it would wait in vain.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from common.errors import CannotStart

_WITHIN_S: Final = 2.0

Address = tuple[str, int]
Plainly = Callable[[str, int], Awaitable[bool]]
"""Whether the server at a host and port answers in its own protocol without TLS; must not raise."""


class Way(NamedTuple):
    """How a server is reached, and which settings say so."""

    server: str
    addresses: Sequence[Address]
    context: ssl.SSLContext | None
    """None where our settings ask for no TLS."""
    switch: str
    """What sets TLS, such as TWINSTREAM_KAFKA_TLS=true."""
    ca_variable: str


def trusting(ca_file: str, variable: str) -> ssl.SSLContext:
    """A context that trusts the authorities of `ca_file`, or those of this machine where it is empty.

    Raises:
        CannotStart: there is no such file, or it holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:  # as those of ssl are
        why = "no certificate is in it" if isinstance(error, ssl.SSLError) else error.strerror
        raise CannotStart(f"{variable}: {ca_file!r} cannot be used: {why}") from None


async def check_way(way: Way, plainly: Plainly) -> None:
    """Look for what keeps `way` from being gone, once a driver has failed on it.

    Raises:
        CannotStart: tls_untrusted, tls_expected or tls_not_spoken. Whoever is away, or there and well, raises nothing.
    """
    for host, port in way.addresses:
        if way.context is None:
            await _check_plain(way, host, port)
        else:
            await _check_secured(way, way.context, host, port, plainly)


async def _check_plain(way: Way, host: str, port: int) -> None:
    try:
        await _shake_hands(host, port, _trusting_anyone())
    except (OSError, TimeoutError):
        return  # it speaks no TLS either, or is away
    raise CannotStart(f"{way.server} at {host}:{port} speaks TLS: set {way.switch}", "tls_expected")


async def _check_secured(way: Way, context: ssl.SSLContext, host: str, port: int, plainly: Plainly) -> None:
    where = f"{way.server} at {host}:{port}"
    try:
        await _shake_hands(host, port, context)
    except ssl.SSLCertVerificationError as error:
        why = f"{error.verify_message}; {way.ca_variable} names a file of the authorities that we trust"
        raise CannotStart(f"{where} shows a certificate that we do not trust: {why}", "tls_untrusted") from None
    except (OSError, TimeoutError):
        if await plainly(host, port):
            raise CannotStart(f"{where} speaks no TLS, which {way.switch} asks for", "tls_not_spoken") from None


async def _shake_hands(host: str, port: int, context: ssl.SSLContext) -> None:
    async with asyncio.timeout(_WITHIN_S):
        _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    writer.transport.abort()  # nothing was said that is worth a farewell


def _trusting_anyone() -> ssl.SSLContext:
    """For a look at whether there is TLS at all; nothing is sent through it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
