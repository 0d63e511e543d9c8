"""Kafka away: senders are told in time to try later, and nothing needs a hand once it is back."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import contextmanager

import pytest
import pytest_asyncio

TIMEOUT_MS = 1_000


def body(count: int, prefix: str) -> bytes:
    records = ({"unique_identifier": f"{prefix}-{n}", "number": n, "text": "t"} for n in range(count))
    return b"\n".join(json.dumps(record).encode() for record in records)


@pytest_asyncio.fixture
async def impatient(servers, tools) -> AsyncIterator:
    """An ingest that waits a second for Kafka."""
    async with tools.listening(await tools.fresh_settings(servers, kafka_timeout_ms=TIMEOUT_MS)) as service:
        yield service


@contextmanager
def hanging_kafka(servers):
    servers.suspend("kafka")
    try:
        yield
    finally:
        servers.resume("kafka")


async def until_taken(service, records: bytes) -> None:
    """A second is short on a busy machine, and after an outage; what is refused then is sent again."""
    async with asyncio.timeout(60):
        while (await service.send("a", records)).status_code != 202:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("count", [1, 100])
async def test_with_kafka_away_senders_are_told_to_try_later(servers, tools, impatient, count: int) -> None:
    """Within the deadline, with Retry-After; once it is back requests pass again, and what was promised is there."""
    await until_taken(impatient, body(count, "before"))
    with hanging_kafka(servers):
        started = time.monotonic()
        answers = await asyncio.gather(*(impatient.send("a", body(count, f"during-{n}")) for n in range(3)))
        waited_s = time.monotonic() - started
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert "Kafka did not acknowledge a write to records.a within 1 s" in answer.json()["detail"]
    assert waited_s < TIMEOUT_MS / 1000 + 20
    await until_taken(impatient, body(count, "after"))
    written = {message.key.decode() for message in await tools.read_all(impatient.settings, "records.a")}
    assert {f"{when}-{n}" for when in ("before", "after") for n in range(count)} <= written


async def test_no_more_is_taken_in_hand_than_the_memory_set_aside_for_it(servers, tools) -> None:
    """While Kafka hangs, bodies pile up: those past the bound are told so at once, and pass once it is back."""
    settings = await tools.fresh_settings(servers, kafka_timeout_ms=3_000, max_bytes_in_hand=64 * 1024)
    async with tools.listening(settings) as service:
        await until_taken(service, body(1, "before"))
        with hanging_kafka(servers):
            answers = await asyncio.gather(*(service.send("a", body(1_000, f"{n}")) for n in range(3)))
        assert sorted((one.status_code, one.json()["code"]) for one in answers) == [
            *[(429, "overloaded")] * 2,
            (503, "unavailable"),
        ]
        assert all(int(one.headers["retry-after"]) >= 1 for one in answers)
        await until_taken(service, body(1_000, "after"))


async def test_refused_records_that_cannot_be_put_aside_are_no_success(servers, impatient) -> None:
    """An answer that names refused records promises that they are kept."""
    with hanging_kafka(servers):
        answer = await impatient.send("a", b"broken")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "records.rejected" in answer.json()["detail"]


async def test_whole_bodies_are_refused_without_kafka(servers, impatient) -> None:
    """What is no batch of records needs no log."""
    with hanging_kafka(servers):
        assert (await impatient.send("a", b"", "application/json")).json()["code"] == "empty_body"
        assert (await impatient.http.get("/healthz")).status_code == 200
