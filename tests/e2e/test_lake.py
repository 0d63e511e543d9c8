"""The lake through the whole product: what was sent is found by SQL, and the newest are those of the lookups."""

import asyncio
import csv
import io
import os
import secrets
import subprocess
import sys
from datetime import datetime
from typing import Any

import httpx
import pytest_asyncio

from common.contracts import Stream

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
        answer = await self.client.http.post(self.url, json={"sql": sql, **fields})
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        query = answer.json()
        async with asyncio.timeout(120):
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
    mark = f"lake-{secrets.token_hex(4)}"
    parents = [{"unique_identifier": f"{mark}-a{n}", "number": n, "text": f"A no. {n} ü"} for n in range(30)]
    children = [
        {
            "unique_identifier": f"{mark}-b{n % 60}",
            "Stream_A_unique_identifier": f"{mark}-a{n % 30}",
            "number": n / 4,
            "text": f"no. {n}",
            "event_time": 1_790_000_000_000 - (n % 7) * 1_000,
        }
        for n in range(200)
    ]
    await client.send("a", parents)
    await client.send("b", children)
    counting = "select (select count(*) from a_log where unique_identifier like $like), count(*) from b_log "
    counting += "where unique_identifier like $like"
    like = {"like": f"{mark}%"}
    async with asyncio.timeout(180):
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
    said = await asyncio.to_thread(_command, running, "sql", top, "--param", f"like={mark}%", "--format", "csv")
    assert [[one, int(n)] for one, n in list(csv.reader(io.StringIO(said)))[1:]] == by_http


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


def _command(running: Any, *words: str) -> str:
    environment = {
        **os.environ,
        "TWINSTREAM_URL": running.query_url,
        "TWINSTREAM_INGEST_URL": running.ingest_url,
        "TWINSTREAM_KEY": running.key,
    }
    command = [sys.executable, "-m", "twinstream", *words]
    ran = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=120)  # noqa: S603  # our own
    return ran.stdout.decode()
