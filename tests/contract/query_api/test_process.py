"""The process as it is started in earnest: it waits, serves, says how it is, and stops when it is told to."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from common.bootstrap import ensure_first_key
from localstack.free_ports import free_port
from query_api.settings import QueryApiSettings

Environment = dict[str, str]


@pytest.fixture
def environment(settings: QueryApiSettings) -> Environment:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TWINSTREAM_")}
    return inherited | {
        "TWINSTREAM_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "TWINSTREAM_TOPIC_PREFIX": settings.topic_prefix,
        "TWINSTREAM_MONGO_URI": settings.mongo_uri.get_secret_value(),
        "TWINSTREAM_MONGO_DATABASE": settings.mongo_database,
        "TWINSTREAM_SECRET": settings.secret.get_secret_value(),
        "TWINSTREAM_QUERY_API_PORT": str(free_port()),
        "TWINSTREAM_QUERY_API_METRICS_PORT": str(free_port()),
    }


@asynccontextmanager
async def process(environment: Environment) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m query_api`; whatever happens, it does not outlive the test."""
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "query_api", env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def heard(started: asyncio.subprocess.Process, words: str) -> None:
    """Read on until it says so."""
    assert started.stderr is not None
    async with asyncio.timeout(60):
        while words not in (await started.stderr.readline()).decode():
            assert not started.stderr.at_eof()


async def ended(started: asyncio.subprocess.Process, within_s: float = 60) -> tuple[int | None, str]:
    """Its exit status and what it said."""
    async with asyncio.timeout(within_s):
        _, said = await started.communicate()
    return started.returncode, said.decode()


async def status(environment: Environment, path: str, until: Callable[[httpx.Response], bool]) -> Any:
    """The body of `path` on the metrics port once it is as wanted."""
    url = f"http://127.0.0.1:{environment['TWINSTREAM_QUERY_API_METRICS_PORT']}{path}"
    async with asyncio.timeout(60), httpx.AsyncClient() as client:
        while True:
            try:
                answer = await client.get(url)
                if until(answer):
                    return answer
            except httpx.TransportError:
                pass  # not listening yet
            await asyncio.sleep(0.05)


async def test_serves_until_it_is_told_to_stop(
    environment: Environment, settings: QueryApiSettings, tmp_path: Path
) -> None:
    """Ready, it answers; SIGTERM ends it with status 0; each log line is JSON and names the request's trace."""
    await ensure_first_key(settings, tmp_path / "key")
    async with process(environment) as started:
        await status(environment, "/readyz", lambda answer: answer.status_code == 200)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{environment['TWINSTREAM_QUERY_API_PORT']}") as client:
            key = {"Authorization": f"Bearer {(tmp_path / 'key').read_text().strip()}"}
            answer = await client.get("/v1/a/some%2Fa", headers=key)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
            assert "'some/a'" in answer.json()["detail"]
            assert (await client.get("/readyz")).status_code == 200
        metrics = await status(environment, "/metrics", lambda answer: answer.status_code == 200)
        counted = 'http_requests_total{method="GET",route="/v1/a/{record_id}",service="query-api",status="404"} 1.0'
        assert counted in metrics.text
        started.send_signal(signal.SIGTERM)
        code, said = await ended(started)
    assert code == 0, said
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line["event"] for line in lines][:1] + [line["event"] for line in lines][-1:] == ["starting", "stopped"]
    requests = [line for line in lines if line["event"] == "request"]
    assert [line["trace_id"] for line in requests] == [answer.headers["x-trace-id"]]
    assert not [line for line in lines if line["level"] in {"warning", "error"}]


async def test_finishes_what_is_in_flight(environment: Environment, settings: QueryApiSettings, tmp_path: Path) -> None:
    """A request whose body is still on its way when SIGTERM comes is answered."""
    await ensure_first_key(settings, tmp_path / "key")
    key = (tmp_path / "key").read_text().strip()
    async with process(environment) as started:
        await status(environment, "/readyz", lambda answer: answer.status_code == 200)
        port = int(environment["TWINSTREAM_QUERY_API_PORT"])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = b'{"ids": ["nobody\'s"]}'
        head = f"POST /v1/a/lookup HTTP/1.1\nHost: x\nAuthorization: Bearer {key}\nContent-Type: application/json\n"
        writer.write(f"{head}Content-Length: {len(body)}\nExpect: 100-continue\n\n".replace("\n", "\r\n").encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 100")  # it is being handled now
        started.send_signal(signal.SIGTERM)
        await refused(port)
        writer.write(body)
        answer = (await reader.read()).decode()
        writer.close()
        code, said = await ended(started)
    assert "HTTP/1.1 200" in answer
    assert answer.endswith('{"items":[null]}')
    assert code == 0, said


async def refused(port: int) -> None:
    """Until nobody listens on `port` any more."""
    async with asyncio.timeout(60):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return
            writer.close()
            await asyncio.sleep(0.02)


async def test_starts_without_mongodb(environment: Environment) -> None:
    """And says so: it becomes ready once MongoDB is there."""
    away = {"TWINSTREAM_MONGO_URI": f"mongodb://127.0.0.1:{free_port()}/", "TWINSTREAM_MONGO_TIMEOUT_MS": "300"}
    async with process(environment | away) as started:
        answer = await status(environment, "/readyz", lambda answer: "MongoDB is away" in answer.text)
        assert answer.status_code == 503
        await status(environment, "/readyz", lambda answer: set(answer.json()["problems"]) == {"mongo"})
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{environment['TWINSTREAM_QUERY_API_PORT']}") as client:
            assert (await client.get("/healthz")).status_code == 200
            answer = await client.get("/readyz")
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert answer.headers["retry-after"] == "1"
        started.send_signal(signal.SIGTERM)
        assert (await ended(started))[0] == 0


async def test_waits_for_kafka(environment: Environment) -> None:
    """Alive, not ready; and it can be stopped meanwhile."""
    away = {"TWINSTREAM_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_port()}"}
    async with process(environment | away) as started:
        answer = await status(environment, "/readyz", lambda answer: "control" in answer.json()["problems"])
        assert answer.status_code == 503
        await status(environment, "/healthz", lambda answer: answer.status_code == 200)
        await heard(started, '"event": "waiting"')
        started.send_signal(signal.SIGTERM)
        code, said = await ended(started)
    assert code == os.EX_TEMPFAIL, said
    assert "Unclosed" not in said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"TWINSTREAM_SECRET": ""}, "TWINSTREAM_SECRET"),
        ({"TWINSTREAM_MONGO_URI": "mongodb://127.0.0.1:port/"}, "TWINSTREAM_MONGO_URI does not fit"),
        ({"TWINSTREAM_TOPIC_PREFIX": "nobody-made-these."}, "Kafka has no topic nobody-made-these.records.a"),
    ],
)
async def test_does_not_start_with_what_cannot_work(environment: Environment, change: Environment, says: str) -> None:
    """It says which variable, and ends with the status that tells a supervisor not to try again."""
    async with process(environment | change) as started:
        code, said = await ended(started)
    assert code == os.EX_CONFIG, said
    assert says in said
    assert "Traceback" not in said
    assert "Unclosed" not in said


@pytest.mark.parametrize("name", ["TWINSTREAM_QUERY_API_PORT", "TWINSTREAM_QUERY_API_METRICS_PORT"])
async def test_a_port_in_use_is_named(environment: Environment, name: str) -> None:
    """Which one, and that it is taken."""
    with socket.create_server(("127.0.0.1", int(environment[name]))):
        async with process(environment) as started:
            code, said = await ended(started)
    assert code == os.EX_CONFIG, said
    assert f"127.0.0.1:{environment[name]}: Address already in use" in said
