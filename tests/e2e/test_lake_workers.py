"""Two workers of the lake's jobs side by side: they share the queue, and one takes over what the other had."""

import asyncio
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from pymongo import AsyncMongoClient

from common.analytics import JOBS, JobState
from localstack.free_ports import on_free_ports
from localstack.profile import Profile

SLOW = "select count(*) from range(100000) a, range(100000) b, range(1000) c where hash(a.range, b.range, c.range) = 1"


async def another_worker(running: Any, folder: Path) -> asyncio.subprocess.Process:
    port = on_free_ports(Profile(folder)).ports["lake_jobs_metrics"]
    environment = {**os.environ, **running.stack.profile.environment(), "TMPDIR": str(folder)}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "lake.jobs",
        env={**environment, "TWINSTREAM_LAKE_JOBS_METRICS_PORT": str(port)},
        stderr=asyncio.subprocess.DEVNULL,
    )


def spilled(folder: Path) -> list[Path]:
    """The folders that queries spill to."""
    return list(folder.glob("twinstream-lake-*/query-*"))


def is_at_work(query: psutil.Process) -> bool:
    """Whether it runs; one that has ended and that nobody has asked about since does not."""
    try:
        return query.is_running() and query.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def asked(running: Any, client: Any) -> str:
    """A slow query of a key of its own; its id."""
    body = {"name": f"worker-{secrets.token_hex(4)}", "scopes": ["analytics"]}
    made = await client.http.post(f"{running.query_url}/v1/keys", json=body)
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {made.json()['key']}"}, timeout=60) as http:
        async with asyncio.timeout(60):
            while True:
                query = {"sql": SLOW, "timeout_seconds": 600}
                answer = await http.post(f"{running.query_url}/v1/analytics/queries", json=query)
                if answer.status_code == httpx.codes.ACCEPTED:
                    return str(answer.json()["id"])
                await asyncio.sleep(0.1)  # a key is in force once query-api has read it


@pytest.mark.long
async def test_two_workers_share_the_queue_and_outlive_each_other(running: Any, client: Any, tmp_path: Path) -> None:
    """Two queries each; after a kill -9 they end and the other runs them all, and the next start tidies up."""
    async with AsyncMongoClient[dict[str, Any]](running.stack.mongo_uri) as mongo:
        jobs = mongo["twinstream"][JOBS]

        async def workers(ids: list[str]) -> dict[str, str]:
            found = await jobs.find({"_id": {"$in": ids}, "state": JobState.RUNNING}).to_list()
            return {one["_id"]: one["worker"] for one in found}

        async def until(ids: list[str], fits: Callable[[dict[str, str]], bool]) -> dict[str, str]:
            async with asyncio.timeout(120):
                while not fits(found := await workers(ids)):
                    await asyncio.sleep(0.1)
                return found

        process = await another_worker(running, tmp_path)
        ids = [await asked(running, client) for _ in range(4)]
        shared = await until(ids, lambda found: len(found) == 4)
        mine = [id_ for id_, worker in shared.items() if f"/{process.pid}/" in worker]
        assert len(mine) == 2
        async with asyncio.timeout(120):
            while len(left := spilled(tmp_path)) < 2:  # it is said to run a moment before it does
                await asyncio.sleep(0.1)
        queries = psutil.Process(process.pid).children(recursive=True)
        assert len(queries) >= 2
        process.kill()
        await process.wait()
        async with asyncio.timeout(60):
            while any(is_at_work(query) for query in queries):
                await asyncio.sleep(0.1)
        others = [id_ for id_ in ids if id_ not in mine]
        await jobs.update_many({"_id": {"$in": others}}, {"$set": {"state": JobState.CANCELLED}})
        taken = await until(
            mine, lambda found: len(found) == 2 and not any(f"/{process.pid}/" in w for w in found.values())
        )
        assert set(taken.values()) == {shared[id_] for id_ in others}
        await jobs.update_many({"_id": {"$in": mine}}, {"$set": {"state": JobState.CANCELLED}})
        again = await another_worker(running, tmp_path)
        async with asyncio.timeout(60):
            while any(folder.exists() for folder in left):
                await asyncio.sleep(0.1)
        again.terminate()
        assert await again.wait() == 0
        assert not spilled(tmp_path)
