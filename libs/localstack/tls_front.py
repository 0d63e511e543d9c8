"""TLS before servers that do not speak it: `python -m localstack.tls_front CERTIFICATE KEY CLIENTS PORT:BEHIND...`.

Valkey's wheel is built without TLS. What speaks to it through here meets what it meets before a managed Redis. CLIENTS
is the file of the authorities by which clients must be vouched for, or - where everybody is let through.
"""

import asyncio
import ssl
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

import uvloop

from localstack.profile import HOST

Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
T = TypeVar("T")

_CHUNK: Final = 64 * 1024


class Secured:
    """A connection that a client opened, with TLS on it.

    The event loops' own TLS hangs up on whoever is not let in; a server of stores says why first.
    """

    def __init__(self, context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def shake_hands(self) -> None:
        """Raises ssl.SSLError where that does not come about; the client was told why."""
        await self._done(self._tls.do_handshake)

    async def read(self, most: int) -> bytes:
        """What the client said, or nothing once it is gone."""
        try:
            return await self._done(lambda: self._tls.read(most))
        except ssl.SSLError:  # it left without a word
            return b""

    def write(self, data: bytes) -> None:
        self._tls.write(data)
        self._writer.write(self._outgoing.read())

    async def drain(self) -> None:
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()

    async def _done(self, step: Callable[[], T]) -> T:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                pass
            finally:
                self._writer.write(self._outgoing.read())
            chunk = await self._reader.read(_CHUNK)
            if chunk:
                self._incoming.write(chunk)
            else:
                self._incoming.write_eof()


def accepting(certificate: str, key: str, clients: str | None = None) -> ssl.SSLContext:
    """A server's side; where `clients` is given, whoever comes must be vouched for by an authority of that file."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    if clients is not None:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def serve(context: ssl.SSLContext, ports: Sequence[tuple[int, int]]) -> None:
    """Pass what comes to each first port on to the second, without the TLS."""
    servers = [await asyncio.start_server(_passing_on(context, behind), HOST, port) for port, behind in ports]
    await asyncio.gather(*(server.serve_forever() for server in servers))


def _passing_on(context: ssl.SSLContext, behind: int) -> Connected:
    async def passing_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        secured = Secured(context, reader, writer)
        try:
            await secured.shake_hands()
            inner_reader, inner_writer = await asyncio.open_connection(HOST, behind)
        except OSError:  # as those of ssl are
            writer.close()
            return
        await asyncio.gather(_pump(secured, inner_writer), _pump(inner_reader, secured))

    return passing_on


async def _pump(reader: asyncio.StreamReader | Secured, writer: asyncio.StreamWriter | Secured) -> None:
    with suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    writer.close()


def main() -> None:
    certificate, key, clients, *pairs = sys.argv[1:]
    ports = [(int(port), int(behind)) for port, _, behind in (pair.partition(":") for pair in pairs)]
    uvloop.run(serve(accepting(certificate, key, None if clients == "-" else clients), ports))


if __name__ == "__main__":
    main()
