"""TLS before servers that do not speak it: `python -m localstack.tls_front CERTIFICATE KEY PORT:BEHIND...`.

Valkey's wheel is built without TLS. What speaks to it through here meets what it meets before a managed Redis.
"""

import asyncio
import ssl
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

import uvloop

from localstack.profile import HOST

Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_CHUNK: Final = 64 * 1024


async def serve(certificate: str, key: str, ports: Sequence[tuple[int, int]]) -> None:
    """Pass what comes to each first port on to the second, without the TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    servers = [await asyncio.start_server(_passing_on(behind), HOST, port, ssl=context) for port, behind in ports]
    await asyncio.gather(*(server.serve_forever() for server in servers))


def _passing_on(behind: int) -> Connected:
    async def passing_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection(HOST, behind)
        except OSError:
            writer.transport.abort()
            return
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))

    return passing_on


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
    writer.close()


def main() -> None:
    certificate, key, *pairs = sys.argv[1:]
    ports = [(int(port), int(behind)) for port, _, behind in (pair.partition(":") for pair in pairs)]
    uvloop.run(serve(certificate, key, ports))


if __name__ == "__main__":
    main()
