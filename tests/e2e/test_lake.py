"""The lake through the whole product: what was sent is found by SQL, and the newest are those of the lookups."""

import asyncio
import csv
import io
import json
import os
import secrets
import signal
import subprocess
import sys
from datetime import datetime
from typing import Any

import httpx
import pytest_asyncio

from common.clock import SystemClock
from common.contracts import Stream

INTERRUPTED = 130
PATIENCE_S = 300  # queries give way to all that runs on this machine
STATEMENT = (
    "select unique_identifier, {parent}number, text, event_time, ingested_at, first_seen from {stream} "
    "where unique_identifier like $like order by 1"
)


class Analyst:
    """Asks queries and waits for their ends."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.url = f"{client.product.query_url}/v1/analytics/queries"

    async def ask(self, sql: str, **fields: Any) -> dict[str, Any]:
        answer = await self.client.http.post(self.url, json={"sql": sql, "timeout_seconds": PATIENCE_S, **fields})
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        query = answer.json()
        async with asyncio.timeout(PATIENCE_S):
            while query["state"] in {"queued", "running"}:
                await asyncio.sleep(0.1)
                query = (await self.client.http.get(f"{self.url}/{query['id']}")).json()
        found: dict[str, Any] = query
        return found

    async def rows(self, sql: str, **fields: Any) -> list[list[Any]]:
        query = await self.ask(sql, **fields)
        assert query["state"] == "succeeded", query
        answer = await self.client.http.get(f"{self.url}/{query['id']}/result")
        found: list[list[Any]] = answer.json()["rows"]
        return found


@pytest_asyncio.fixture
async def analyst(client) -> Analyst:
    return Analyst(client)


async def test_the_lake_says_what_the_lookups_say(client, analyst, running) -> None:
    """Row by row, for repeated, late and plain records of both streams; by HTTP and by the command alike."""
    mark, two_hours_ago_ms = f"lake-{secrets.token_hex(4)}", SystemClock().now_ms() - 2 * 3_600_000
    parents = [{"unique_identifier": f"{mark}-a{n}", "number": n, "text": f"A no. {n} ü"} for n in range(30)]
    children = [
        {
            "unique_identifier": f"{mark}-b{n % 60}",
            "Stream_A_unique_identifier": f"{mark}-a{n % 30}",
            "number": n / 4,
            "text": f"no. {n}",
            "event_time": two_hours_ago_ms - (n % 7) * 1_000,
        }
        for n in range(200)
    ]
    await client.send("a", parents)
    await client.send("b", children)
    counting = "select (select count(*) from a_log where unique_identifier like $like), count(*) from b_log "
    counting += "where unique_identifier like $like"
    like = {"like": f"{mark}%"}
    async with asyncio.timeout(PATIENCE_S):
        while await analyst.rows(counting, parameters=like) != [[30, 200]]:
            await asyncio.sleep(0.2)
    for stream, ids in ((Stream.A, 30), (Stream.B, 60)):
        parent = "Stream_A_unique_identifier, " if stream is Stream.B else ""
        found = await analyst.rows(STATEMENT.format(stream=stream, parent=parent), parameters=like)
        assert len(found) == ids
        for row in found:
            record = await client.found(stream.value, row[0])
            texts = [value for value in record.values() if not isinstance(value, float | int)]
            assert [normal(value) for value in row] == [normal(value) for value in record.values()], texts
    top = "select Stream_A_unique_identifier, count(*) n from b where unique_identifier like $like "
    top += "group by 1 order by n desc, 1 limit 10"
    by_http = await analyst.rows(top, parameters=like)
    assert by_http[0] == [f"{mark}-a0", 2]
    said = await asyncio.to_thread(
        _command, running, "sql", top, "--param", f"like={mark}%", "--format", "csv", "--timeout", "300"
    )
    assert [[one, int(n)] for one, n in list(csv.reader(io.StringIO(said)))[1:]] == by_http
    # All that any test has sent so far, in all four.
    said = await asyncio.to_thread(_command, running, "audit")
    audited = {(one["stream"], one["between"]): one for one in map(json.loads, said.splitlines())}
    pairs = {"windows and log", "windows and documents", "lake and log", "lake and documents", "lake and windows"}
    assert audited.keys() == {(stream, between) for stream in "ab" for between in pairs}
    assert [one for one in audited.values() if one["drift"] or one["left_out"] or not one["looked_at"]] == []


async def test_control_c_cancels_the_query(client, running) -> None:
    """It ends in the lake as well, and makes room for the next one."""
    mark = f"-- {secrets.token_hex(4)}"
    slow = "select count(*) from range(100000) a, range(100000) b where hash(a.range, b.range) = 1 "
    command = [sys.executable, "-m", "twinstream", "sql", slow + mark, "--timeout", "600"]
    process = await asyncio.create_subprocess_exec(*command, env=_environment(running), stderr=asyncio.subprocess.PIPE)
    url = f"{client.product.query_url}/v1/analytics/queries"

    async def mine() -> dict[str, Any]:
        listed = (await client.http.get(url)).json()["items"]
        return next((one for one in listed if one["sql"].endswith(mark)), {"state": "not asked yet"})

    async with asyncio.timeout(120):
        while (await mine())["state"] != "running":
            assert process.returncode is None
            await asyncio.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = await process.communicate()
    assert ((await mine())["state"], process.returncode) == ("cancelled", INTERRUPTED), said.decode()


async def test_a_hostile_query_is_ended_and_nobody_else_notices(client, analyst) -> None:
    """Its key is told why; lookups go on, and the next query is answered."""
    hostile = [
        asyncio.create_task(analyst.ask("select repeat('x', 2000000000)")),
        asyncio.create_task(analyst.ask("select list_distinct(range(30000000))", timeout_seconds=3)),
    ]
    mark = f"beside-{secrets.token_hex(4)}"
    while not all(task.done() for task in hostile):
        await client.send("a", {"unique_identifier": mark, "number": 1, "text": "beside"})
        await client.found("a", mark)
        await asyncio.sleep(0.1)
    assert sorted(task.result()["error"]["code"] for task in hostile) == ["query_out_of_memory", "query_timeout"]
    assert await analyst.rows("select 42") == [[42]]


def normal(value: Any) -> Any:
    """Times alike, however many digits they are written with."""
    if isinstance(value, str) and value.endswith("Z") and "T" in value:
        return datetime.fromisoformat(value)
    return value


def _environment(running: Any) -> dict[str, str]:
    profile = running.stack.profile
    return {
        **os.environ,
        **profile.environment(),
        "TWINSTREAM_HOME": str(profile.home),
        "TWINSTREAM_URL": running.query_url,
        "TWINSTREAM_INGEST_URL": running.ingest_url,
        "TWINSTREAM_KEY": running.key,
    }


def _command(running: Any, *words: str) -> str:
    command = [sys.executable, "-m", "twinstream", *words]
    ran = subprocess.run(command, env=_environment(running), capture_output=True, check=False, timeout=PATIENCE_S)  # noqa: S603
    assert ran.returncode == 0, (ran.stdout + ran.stderr).decode()
    return ran.stdout.decode()
