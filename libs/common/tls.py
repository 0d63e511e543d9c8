"""TLS towards a server: whom we trust, who we are, and why no connection came about.

Drivers tell of a server that cannot be reached, whatever the reason. Some reasons pass by themselves. A certificate of
an unknown authority, or TLS on one side alone, does not: a start that waits for it would wait in vain.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from common.errors import CannotStart

_WITHIN_S: Final = 2.0
_TOLD_WITHIN_S: Final = 0.5
# What OpenSSL calls a server's last word on it; the last one is TLS 1.2's for none at all, and for little else.
_OF_OURS: Final = ("CERTIFICATE", "UNKNOWN_CA", "DECRYPT_ERROR", "HANDSHAKE_FAILURE")

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
    certificate_variable: str
    """What names the file of our own certificate."""


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


def presenting(context: ssl.SSLContext, certificate_file: str, variable: str) -> ssl.SSLContext:
    """The same context, which shows our certificate to a server that asks for one, unless `certificate_file` is empty.

    Raises:
        CannotStart: there is no such file, or it does not hold a certificate with its key.
    """
    if certificate_file:
        try:
            context.load_cert_chain(certificate_file, password="")  # or OpenSSL would ask the terminal for one
        except OSError as error:
            why = "no certificate with its key is in it" if isinstance(error, ssl.SSLError) else error.strerror
            raise CannotStart(f"{variable}: {certificate_file!r} cannot be used: {why}") from None
    return context


async def check_way(way: Way, plainly: Plainly) -> None:
    """Look for what keeps `way` from being gone, once a driver has failed on it.

    Raises:
        CannotStart: tls_untrusted, tls_expected, tls_not_spoken or tls_certificate_refused. Whoever is away, or there
            and well, raises nothing.
    """
    for host, port in way.addresses:
        if way.context is None:
            await _check_plain(way, host, port)
        else:
            await _check_secured(way, way.context, host, port, plainly)


async def _check_plain(way: Way, host: str, port: int) -> None:
    try:
        await _shake_hands(host, port, _trusting_anyone())
    except (OSError, TimeoutError) as error:
        if not _is_about_our_certificate(error):
            return  # it speaks no TLS either, or is away
    raise CannotStart(f"{way.server} at {host}:{port} speaks TLS: set {way.switch}", "tls_expected")


async def _check_secured(way: Way, context: ssl.SSLContext, host: str, port: int, plainly: Plainly) -> None:
    where = f"{way.server} at {host}:{port}"
    try:
        await _shake_hands(host, port, context)
    except ssl.SSLCertVerificationError as error:
        why = f"{error.verify_message}; {way.ca_variable} names a file of the authorities that we trust"
        raise CannotStart(f"{where} shows a certificate that we do not trust: {why}", "tls_untrusted") from None
    except (OSError, TimeoutError) as error:
        if _is_about_our_certificate(error):
            why = f"it wants a certificate of ours that it trusts ({error}): see {way.certificate_variable}"
            raise CannotStart(f"{where} does not let us in: {why}", "tls_certificate_refused") from None
        if await plainly(host, port):
            raise CannotStart(f"{where} speaks no TLS, which {way.switch} asks for", "tls_not_spoken") from None


async def _shake_hands(host: str, port: int, context: ssl.SSLContext) -> None:
    async with asyncio.timeout(_WITHIN_S):
        reader, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    try:
        with suppress(TimeoutError):  # TLS 1.3 tells whether our certificate is taken once we think that all is done
            async with asyncio.timeout(_TOLD_WITHIN_S):
                await reader.read(1)
    finally:
        writer.transport.abort()  # nothing was said that is worth a farewell


def _is_about_our_certificate(error: BaseException) -> bool:
    reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    return "ALERT" in reason and any(word in reason for word in _OF_OURS)


def _trusting_anyone() -> ssl.SSLContext:
    """For a look at whether there is TLS at all; nothing is sent through it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
