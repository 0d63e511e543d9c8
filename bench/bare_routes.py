"""`python bench/bare_routes.py SERVICE`: the service with ceilings beside it, routes that do the barest of its work."""

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from pymongo import AsyncMongoClient

import ingest.wiring
import query_api.wiring
from common.contracts import StoredB
from common.process import main
from ingest.settings import IngestSettings
from query_api.settings import QueryApiSettings


def add_empty(app: FastAPI, _settings: IngestSettings) -> None:
    """Takes a body in and does nothing with it."""

    @app.post("/bare")
    async def bare(request: Request) -> Response:
        await request.body()
        return Response(b'{"accepted":1}', 202, media_type="application/json")


def add_find_one(app: FastAPI, settings: QueryApiSettings) -> None:
    """Looks a record up as the driver's first page of documentation does."""
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(settings.mongo_uri.get_secret_value())
    collection = client[settings.mongo_database]["b"]

    @app.get("/bare/{record_id}")
    async def bare(record_id: str) -> Response:
        document = await collection.find_one({"_id": record_id})
        found = msgspec.convert(document, StoredB)
        return Response(msgspec.json.encode(found), media_type="application/json")


def _with(assembled: Any, add: Callable[[FastAPI, Any], None]) -> Any:
    """The composition root, with a bare route in the app that it puts together."""

    @asynccontextmanager
    async def wrapped(settings: Any, *parts: Any) -> AsyncIterator[FastAPI]:
        async with assembled(settings, *parts) as app:
            add(app, settings)
            yield app

    return wrapped


if __name__ == "__main__":
    if sys.argv[1] == "ingest":
        ingest.wiring.assembled = _with(ingest.wiring.assembled, add_empty)
        main("ingest", IngestSettings, ingest.wiring.run)
    else:
        query_api.wiring.assembled = _with(query_api.wiring.assembled, add_find_one)
        main("query-api", QueryApiSettings, query_api.wiring.run)
