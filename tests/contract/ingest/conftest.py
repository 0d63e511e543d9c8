"""Ingest as it runs, on the real Kafka: the app of its composition root behind a real HTTP server."""

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord
from fastapi import FastAPI
from msgspec.structs import replace
from pydantic import SecretStr

from common.clock import SystemClock
from common.contracts import ControlKind, Scope
from common.health import Health
from common.http.app import serve
from common.kafka.control import ControlTable
from common.kafka.producer import Producer
from common.kafka.topics import ensure_topics
from common.keys import make_key
from ingest.settings import IngestSettings
from ingest.wiring import assembled
from localstack.free_ports import free_port


@dataclass(frozen=True)
class Service:
    """A running ingest and how to reach it."""

    settings: IngestSettings
    http: httpx.AsyncClient
    key: str
    reading_key: str  # in force, but without the scope
    revoked_key: str
    app: FastAPI

    async def send(self, stream: str, body: bytes, content_type: str = "application/x-ndjson", **headers: str):
        return await self.http.post(
            f"/v1/streams/{stream}/records",
            content=body,
            headers={"content-type": content_type, **{k.replace("_", "-"): v for k, v in headers.items()}},
        )

    async def log_of(self, topic: str) -> Sequence[ConsumerRecord[bytes, bytes]]:
        """Everything in `topic`, partition by partition."""
        return await read_all(self.settings, topic)


async def fresh_settings(servers: Any, **more: Any) -> IngestSettings:
    """Settings on topics of their own, which are made."""
    settings = IngestSettings(
        kafka_bootstrap=servers.kafka_bootstrap,
        redis_url=servers.redis_url,
        topic_prefix=f"ingest-{secrets.token_hex(4)}-",
        ingest_port=free_port(),
        ingest_metrics_port=free_port(),
        **more,
    )
    await ensure_topics(settings, partitions=4)
    return settings


async def put_keys(settings: IngestSettings, *scopes: Scope | None) -> list[str]:
    """Keys in force, one per scope; for None, one that had the right scope and was revoked."""
    producer = Producer(settings)
    await producer.start()
    control = ControlTable(settings, producer, SystemClock())
    await control.start()
    tokens = []
    for scope in scopes:
        key, token = make_key(f"may {scope}", [scope or Scope.INGEST], 0)
        await control.put(ControlKind.KEY, key.id, key if scope else replace(key, revoked_at=1))
        tokens.append(token)
    await control.stop()
    await producer.stop()
    return tokens


async def read_all(settings: IngestSettings, topic: str) -> Sequence[ConsumerRecord[bytes, bytes]]:
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(settings.topic_prefix + topic, p) for p in range(4)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[ConsumerRecord[bytes, bytes]] = []
        while len(found) < sum(ends.values()):
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                found += batch
        return sorted(found, key=lambda one: (one.partition, one.offset))
    finally:
        await consumer.stop()


@asynccontextmanager
async def listening(settings: IngestSettings) -> AsyncIterator[Service]:
    key, reading_key, revoked_key = await put_keys(settings, Scope.INGEST, Scope.READ, None)
    stop = asyncio.Event()
    async with assembled(settings, Health(), SystemClock(), stop) as app:
        serving = asyncio.create_task(serve(app, "127.0.0.1", settings.ingest_port, stop))
        url, bearer = f"http://127.0.0.1:{settings.ingest_port}", {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=url, headers=bearer, timeout=60) as http:
            yield Service(settings, http, key, reading_key, revoked_key, app)
        stop.set()
        await serving


def plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


@asynccontextmanager
async def process(settings: IngestSettings, **changes: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m ingest`; whatever happens, it does not outlive the test."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TWINSTREAM_")}
    chosen = settings.model_dump(include=settings.model_fields_set) | changes
    environment = inherited | {f"TWINSTREAM_{name.upper()}": plain(value) for name, value in chosen.items()}
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ingest", env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def status(settings: IngestSettings, path: str, until: Callable[[httpx.Response], bool]) -> httpx.Response:
    """What `path` on the metrics port answers once it is as wanted."""
    async with asyncio.timeout(60), httpx.AsyncClient() as client:
        while True:
            try:
                answer = await client.get(f"http://127.0.0.1:{settings.ingest_metrics_port}{path}")
                if until(answer):
                    return answer
            except httpx.TransportError:
                pass  # not listening yet
            await asyncio.sleep(0.02)


@asynccontextmanager
async def ready(settings: IngestSettings, **changes: object) -> AsyncIterator[tuple[Any, httpx.AsyncClient]]:
    """The process once it is ready, and a client with a key."""
    (key,) = await put_keys(settings, Scope.INGEST)
    async with process(settings, **changes) as started:
        await status(settings, "/readyz", lambda answer: answer.status_code == 200)
        url, headers = f"http://127.0.0.1:{settings.ingest_port}", {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
            yield started, client


@pytest.fixture(scope="module")
async def service(servers: Any, issuer: Any) -> AsyncIterator[Service]:
    """One ingest for the tests of a module, on topics of its own."""
    oidc = {"oidc_issuer": issuer.url, "oidc_audience": issuer.audience}
    async with listening(await fresh_settings(servers, **oidc)) as started:
        yield started


@pytest.fixture(scope="session")
def tools() -> ModuleType:
    """The functions above, for tests that start a process of their own."""
    return sys.modules[__name__]


def pytest_make_parametrize_id(val: object) -> str | None:
    """Bodies of megabytes are no names of tests."""
    return ascii(val[:40]) if isinstance(val, bytes | str) and len(val) > 40 else None
