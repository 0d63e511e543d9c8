"""One trace runs from a client's request through the log into the workers, and OpenTelemetry shows it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from common.bootstrap import ensure_first_key
from common.kafka.topics import ensure_topics
from common.settings import KafkaSettings
from localstack.claims import Claims
from localstack.collector import Collector, answering_collector, attributes
from localstack.free_ports import on_free_ports
from localstack.profile import Profile
from localstack.services import services
from localstack.testing import Stack

WITHIN_S = 60
NAMES = ("documents", "ingest")


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with answering_collector() as collector:
        yield collector


@pytest_asyncio.fixture(scope="module")
async def exporting(
    servers: Stack, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """Two processes of their own, which are told where to export to."""
    name = f"traced-{secrets.token_hex(4)}"
    profile = on_free_ports(Profile(Path(tmp_path_factory.mktemp("traced"))))
    shared = {port: servers.profile.ports[port] for port in ("kafka", "redis", "mongo")}
    stack = Stack(replace(profile, ports={**profile.ports, **shared}))
    settings = KafkaSettings(kafka_bootstrap=servers.kafka_bootstrap, topic_prefix=f"{name}.")
    await ensure_topics(settings, partitions=1)
    await ensure_first_key(settings, profile.key_file)
    told = {
        "TWINSTREAM_TOPIC_PREFIX": settings.topic_prefix,
        "TWINSTREAM_MONGO_DATABASE": name,
        "TWINSTREAM_OTLP_ENDPOINT": collector.url,
        "TWINSTREAM_OTLP_SAMPLE_RATIO": "1",
        "TWINSTREAM_OTLP_METRICS_SECONDS": "0.5",
    }
    with Claims(stack.profile.run).held():
        try:
            processes = services(stack.profile, NAMES)
            await stack.supervisor.start([replace(p, environment={**p.environment, **told}) for p in processes])
            yield stack
        finally:
            await stack.supervisor.stop()


async def test_a_trace_runs_from_the_request_into_the_store(exporting: Stack, collector: Collector) -> None:
    """The worker's span lies below that of the request, which lies below that of the caller; metrics come from both."""
    trace_id, caller = secrets.token_hex(16), secrets.token_hex(8)
    key = exporting.profile.key_file.read_text(encoding="ascii").strip()
    headers = {"Authorization": f"Bearer {key}", "traceparent": f"00-{trace_id}-{caller}-01", "Idempotency-Key": "1"}
    record = {"unique_identifier": "b-1", "Stream_A_unique_identifier": "a-1", "number": 1, "text": "traced"}
    async with httpx.AsyncClient(headers=headers) as http:
        answer = await http.post(f"{exporting.profile.url('ingest')}/v1/streams/b/records", json=record)
        assert answer.status_code == httpx.codes.ACCEPTED

    def parts() -> dict[tuple[str, str], Any]:
        return {(service, span.name): span for service, span in collector.spans() if span.trace_id.hex() == trace_id}

    request, applied = ("ingest", "POST /v1/streams/b/records"), ("documents", "process records.b")
    calls = {("ingest", "EVALSHA"): request, ("ingest", "send records.b"): request, ("documents", "update b"): applied}
    told = {("ingest", "twinstream_ingest_records"), ("documents", "twinstream_records_applied")}
    async with asyncio.timeout(WITHIN_S):
        while not {request, applied, *calls} <= set(parts()) or not told <= set(collector.metrics()):
            await asyncio.sleep(0.05)
    found = parts()
    for call, above in calls.items():
        assert found[call].parent_span_id == found[above].span_id, call
        assert found[call].kind == 3  # SPAN_KIND_CLIENT
    assert attributes(found["documents", "update b"])["db.system.name"] == "mongodb"
    assert attributes(found["ingest", "EVALSHA"])["server.port"] == exporting.profile.ports["redis"]
    assert found[request].parent_span_id.hex() == caller
    assert found[applied].parent_span_id == found[request].span_id
    assert attributes(found[request])["http.route"] == "/v1/streams/b/records"
    assert attributes(found[applied])["messaging.destination.name"] == "records.b"
