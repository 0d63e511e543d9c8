"""A client of the running product."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import quote

import httpx
import pytest_asyncio


class Product(Protocol):
    """What `running` gives."""

    ingest_url: str
    query_url: str
    headers: Mapping[str, str]


class Client:
    """Sends and looks up, and waits for what was sent to be found."""

    def __init__(self, product: Product, http: httpx.AsyncClient) -> None:
        self.product = product
        self.http = http

    async def send(self, stream: str, records: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> httpx.Response:
        return await self.http.post(f"{self.product.ingest_url}/v1/streams/{stream}/records", json=records)

    async def get(self, stream: str, record_id: str) -> httpx.Response:
        return await self.http.get(f"{self.product.query_url}/v1/{stream}/{quote(record_id, safe='')}")

    async def found(self, stream: str, record_id: str, within_s: float = 60, **fields: object) -> dict[str, Any]:
        """The record, once it is there and its fields are as they should be."""
        async with asyncio.timeout(within_s):
            while True:
                answer = await self.get(stream, record_id)
                record: dict[str, Any] = answer.json()
                if answer.status_code == httpx.codes.OK and fields.items() <= record.items():
                    return record
                await asyncio.sleep(0.02)


@pytest_asyncio.fixture
async def client(running: Product) -> AsyncIterator[Client]:
    async with httpx.AsyncClient(headers=running.headers, timeout=60) as http:
        yield Client(running, http)


@pytest_asyncio.fixture
async def client_apart(apart: Product) -> AsyncIterator[Client]:
    async with httpx.AsyncClient(headers=apart.headers, timeout=60) as http:
        yield Client(apart, http)
