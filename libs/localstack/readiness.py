"""How a process is asked whether it is ready."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import httpx
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from common.errors import CannotStart, TryLater
from common.kafka.topics import list_topics
from common.settings import KafkaSettings
from localstack.profile import HOST

_PATIENCE_S = 2.0


def kafka(settings: KafkaSettings, port: int) -> Callable[[], Awaitable[bool]]:
    """Whether the broker answers a request for its metadata."""

    async def ready() -> bool:
        if not await _listens(port):
            return False
        try:
            await list_topics(settings)
        except (TryLater, CannotStart):
            return False
        return True

    logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # it speaks of every attempt that comes too early
    return ready


def valkey(port: int) -> Callable[[], Awaitable[bool]]:
    """Whether the server answers PING with PONG; while it loads its data it answers otherwise."""

    async def ready() -> bool:
        try:
            reader, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            return await asyncio.wait_for(reader.readline(), _PATIENCE_S) == b"+PONG\r\n"
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()

    return ready


def mongo(uri: str) -> Callable[[], Awaitable[bool]]:
    """Whether the server answers a ping."""

    async def ready() -> bool:
        async with AsyncMongoClient[dict[str, object]](uri, serverSelectionTimeoutMS=int(_PATIENCE_S * 1000)) as client:
            try:
                await client.admin.command("ping")
            except PyMongoError:
                return False
        return True

    return ready


def http(url: str) -> Callable[[], Awaitable[bool]]:
    """Whether `url` answers with 200."""

    async def ready() -> bool:
        async with httpx.AsyncClient(timeout=_PATIENCE_S, trust_env=False) as client:
            try:
                return (await client.get(url)).status_code == httpx.codes.OK
            except httpx.HTTPError:
                return False

    return ready


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(HOST, port)
    except OSError:
        return False
    writer.close()
    return True
