"""Counts through the whole product: what is sent is counted, by condition and by A, over HTTP and in the terminal."""

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

WITHIN_S = 60


@pytest_asyncio.fixture
async def client(running: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(headers=running.headers, timeout=WITHIN_S) as client:
        yield client


@pytest_asyncio.fixture
async def sent(running: Any, client: httpx.AsyncClient) -> dict[str, str]:
    """Twenty records of ten B of an A that nobody else has: the numbers of their newest versions are 10 to 19."""
    a_id = f"a-{secrets.token_hex(6)}"
    records = [
        {
            "unique_identifier": f"{a_id}/{n % 10}",
            "Stream_A_unique_identifier": a_id,
            "number": n,
            "text": f"refund {n}",
        }
        for n in range(20)
    ]
    answer = await client.post(f"{running.ingest_url}/v1/streams/b/records", json=records)
    assert answer.status_code == 202
    return {"a_id": a_id, "wait_for": answer.json()["receipt"], "timeout_ms": "30000"}


async def counted(running: Any, client: httpx.AsyncClient, path: str = "b", **asked: object) -> dict[str, Any]:
    answer = await client.get(f"{running.query_url}/v1/counts/{path}", params=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def ready(running: Any, client: httpx.AsyncClient, name: str, revision: int) -> None:
    """Wait until a revision has seen every record."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            condition = (await client.get(f"{running.query_url}/v1/conditions/{name}")).json()
            if condition["answering_revision"] == revision:
                return
            await asyncio.sleep(0.05)


async def twinstream(running: Any, *arguments: str) -> str:
    profile = running.stack.profile
    environment = {
        **os.environ,
        **profile.environment(),
        "TWINSTREAM_HOME": str(profile.home),
        "TWINSTREAM_URL": running.query_url,
        "TWINSTREAM_KEY": running.key,
        "COLUMNS": "80",
    }
    process = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "twinstream", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout + process.stderr


async def test_read_your_own_counts(running: Any, client: httpx.AsyncClient, sent: dict[str, str]) -> None:
    """A receipt makes the count wait for it: ten B, each once, all of one A."""
    found = await counted(running, client, hours=0.5, **sent)
    assert (found["count"], found["unit"], found["complete"], found["window_end"]) == (10, "items", True, None)
    assert found["hours"] == 0.5
    everything = await counted(running, client, unit="events", wait_for=sent["wait_for"], timeout_ms=30_000)
    assert everything["count"] >= 20
    series = await counted(running, client, "b/series", hours=2, step_minutes=30)
    assert sum(bucket["count"] for bucket in series["items"]) >= 20
    assert series["unit"] == "events"


async def test_a_condition_is_filled_from_the_past_changed_and_deleted(
    running: Any, client: httpx.AsyncClient, sent: dict[str, str]
) -> None:
    """Records that came before it count too, the former revision answers meanwhile, and in the end it is unknown."""
    name, url = f"c-{secrets.token_hex(4)}", f"{running.query_url}/v1/conditions"
    await counted(running, client, **sent)  # they are counted before the condition is made
    asked = {"condition": name, "a_id": sent["a_id"], "hours": 1}
    body = {"name": name, "expression": "number >= 15", "per_a": True}
    made = await client.post(url, json=body)
    assert (made.status_code, made.headers["location"]) == (201, f"/v1/conditions/{name}")
    assert (await client.post(url, json=body)).json()["code"] == "condition_exists"
    await ready(running, client, name, made.json()["revision"])
    assert (await counted(running, client, **asked))["count"] == 5

    changed = await client.put(
        f"{url}/{name}", json={"expression": "number >= 15 && text.contains('9')", "per_a": True}
    )
    between = await counted(running, client, **asked)
    assert between["count"] in {5, 1}
    assert between["complete"]
    await ready(running, client, name, changed.json()["revision"])
    assert (await counted(running, client, **asked))["count"] == 1

    assert (await client.delete(f"{url}/{name}")).status_code == 200
    gone = await client.get(f"{running.query_url}/v1/counts/b", params=asked)
    assert (gone.status_code, gone.json()["code"]) == (404, "unknown_condition")


async def test_counts_in_the_terminal(running: Any, sent: dict[str, str]) -> None:
    """A number, a plot, and conditions, as a person or a script asks for them."""
    name = f"c-{secrets.token_hex(4)}"
    await twinstream(running, "conditions", "create", name, "number >= 15", "--per-a")
    async with asyncio.timeout(WITHIN_S):
        while "ready" not in await twinstream(running, "conditions", "list", "--no-json"):
            await asyncio.sleep(0.1)
    of_a = ("count", "b", "--hours", "1", "--a-id", sent["a_id"])
    async with asyncio.timeout(WITHIN_S):
        while json.loads(await twinstream(running, *of_a))["count"] != 10:
            await asyncio.sleep(0.1)
    assert (await twinstream(running, *of_a, "--no-json")).startswith("10 items of B since ")
    plot = await twinstream(running, "count", "b", "--series", "--hours", "2", "--no-json")
    assert "█" in plot
    assert max(map(len, plot.splitlines())) <= 80
    await twinstream(running, "conditions", "delete", name)


async def test_windows_are_rebuilt_and_audited_while_they_serve(
    running: Any, client: httpx.AsyncClient, sent: dict[str, str]
) -> None:
    """The worker goes over to the new ones by itself: what comes then is counted there."""
    before = await counted(running, client, **sent)
    assert "drift" in await twinstream(running, "rebuild", "aggregates", "--from", "lake")
    assert (await counted(running, client, a_id=sent["a_id"]))["count"] == before["count"]
    more = {
        "unique_identifier": f"{sent['a_id']}/more",
        "Stream_A_unique_identifier": sent["a_id"],
        "number": 1,
        "text": "",
    }
    answer = await client.post(f"{running.ingest_url}/v1/streams/b/records", json=more)
    found = await counted(running, client, a_id=sent["a_id"], wait_for=answer.json()["receipt"], timeout_ms=30_000)
    assert found["count"] == before["count"] + 1
    said = (await twinstream(running, "audit", "aggregates")).splitlines()
    lines = [json.loads(line) for line in said if '"between"' in line]
    of_b = {line["between"] for line in lines if line["stream"] == "b" and line["looked_at"]}
    assert (of_b, sum(line["drift"] for line in lines)) == ({"windows and log", "windows and documents"}, 0)


@pytest.mark.parametrize("fault", ["crash", "suspend"])
async def test_without_redis_lookups_answer_and_counts_say_so(
    running: Any, client: httpx.AsyncClient, sent: dict[str, str], fault: str
) -> None:
    """Redis away, or hanging: a 503 that says when to come back; afterwards everything is counted."""
    stack = running.stack
    before = (await counted(running, client, **sent))["count"]
    await stack.crash("valkey") if fault == "crash" else stack.suspend("valkey")
    try:
        away = await client.get(f"{running.query_url}/v1/counts/b", params={"hours": 1})
        assert (away.status_code, away.json()["code"]) == (503, "unavailable")
        assert away.headers["retry-after"]
        assert (await client.get(f"{running.query_url}/v1/a/{sent['a_id']}/b")).status_code == 200
        record = {
            "unique_identifier": f"{sent['a_id']}/more",
            "Stream_A_unique_identifier": sent["a_id"],
            "number": 1,
            "text": "",
        }
        more = await client.post(f"{running.ingest_url}/v1/streams/b/records", json=record)
        assert more.status_code == 202
    finally:
        await stack.start("valkey") if fault == "crash" else stack.resume("valkey")
    found = await counted(
        running, client, a_id=sent["a_id"], wait_for=more.json()["receipt"], timeout_ms=30_000, hours=1
    )
    assert found["count"] == before + 1
