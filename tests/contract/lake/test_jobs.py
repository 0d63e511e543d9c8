"""Jobs on the real store: taken by one worker, seen to their end whatever happens, and tidied up after."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient

from common.analytics import JOBS, Format, JobState, StoredJob, page_path
from common.clock import ManualClock
from common.contracts import Stream
from lake.jobs.runner import Limits, Runner
from lake.jobs.store import JobStore
from lake.jobs.worker import JobWorker, Tidying
from lake.maintenance.latest import LatestTables
from lake.writer.log_table import LogTable
from twinstream_lake.engine import Engine

HOUR_MS = 3_600_000
SLOW = "select count(*) from range(100000) a, range(100000) b, range(1000) c where hash(a.range, b.range, c.range) = 1"


@pytest_asyncio.fixture
async def jobs(fresh_mongo) -> AsyncIterator[Any]:
    """The collection, read and written past the worker."""
    async with AsyncMongoClient[dict[str, Any]](fresh_mongo.mongo_uri.get_secret_value()) as client:
        yield client[fresh_mongo.mongo_database][JOBS]


@pytest.fixture
def plant(jobs):
    """Ask a query, as query-api does."""

    async def plant(job_id: str, sql: str = "select 42 answer", **fields: Any) -> None:
        known = {"key_id": "k", "parameters": "[]", "format": Format.JSON, "max_rows": 10, "max_bytes": 10_000}
        known |= {"page_rows": 10, "timeout_seconds": 60.0, "request_sha256": "", "created_at": 1}
        known |= {"expires": datetime.now(UTC) + timedelta(days=1)}
        job = StoredJob(id=job_id, sql=sql, **{**known, **fields})
        await jobs.insert_one(msgspec.to_builtins(job, builtin_types=(datetime,)))

    return plant


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def working(lake, fresh_mongo, results):
    """A worker at work on an empty lake; the clock stands an hour after the epoch."""
    for stream in Stream:
        LogTable(lake.catalog, stream).prepare()
    LatestTables(lake.catalog, Engine(64), 1_000).prepare()

    @asynccontextmanager
    async def working(name: str = "this", *, at_once: int = 2, per_key: int = 1) -> AsyncIterator[asyncio.Task[None]]:
        store, stop = JobStore(fresh_mongo, name), asyncio.Event()
        runner = Runner(lake.catalog, results, results.parent, Limits(256, 3_000, 64, "nobody"))
        await store.prepare()
        worker = JobWorker(store, runner, ManualClock(HOUR_MS), at_once=at_once, per_key=per_key)
        task = asyncio.create_task(worker.run(stop))
        try:
            yield task
        finally:
            stop.set()
            await task
            await store.close()

    return working


async def until(jobs, job_id: str, *states: JobState, within_s: float = 60.0) -> dict[str, Any]:
    async with asyncio.timeout(within_s):
        while (job := await jobs.find_one({"_id": job_id}))["state"] not in states:
            await asyncio.sleep(0.05)
        found: dict[str, Any] = job
        return found


async def test_a_job_comes_to_its_end(jobs, plant, working, results) -> None:
    """What it read, what came out, and where; a failure says why and leaves nothing."""
    await plant("good")
    await plant("bad", "select nonsense")
    async with working():
        good = await until(jobs, "good", JobState.SUCCEEDED)
        bad = await until(jobs, "bad", JobState.FAILED)
    assert (good["rows"], good["pages"], good["columns"]) == (1, 1, [{"name": "answer", "type": "int32"}])
    assert good["snapshots"] == {"a_log": None, "a_latest": None, "b_log": None, "b_latest": None}
    assert json.loads(page_path(results, "good", 0).read_bytes()) == [[42]]
    assert (bad["error_code"], "nonsense" in bad["error_detail"]) == ("query_invalid", True)
    assert not (results / "bad").exists()


async def test_one_key_holds_up_nobody_else(jobs, plant, working) -> None:
    """Its second query waits, another key's later one does not."""
    await plant("first", SLOW)
    await plant("second", created_at=2)
    await plant("other", created_at=3, key_id="other")
    async with working():
        await until(jobs, "other", JobState.SUCCEEDED)
        assert (await jobs.find_one({"_id": "second"}))["state"] == JobState.QUEUED
        await jobs.update_one({"_id": "first"}, {"$set": {"state": JobState.CANCELLED}})
        await until(jobs, "second", JobState.SUCCEEDED)
    assert (await jobs.find_one({"_id": "first"}))["state"] == JobState.CANCELLED


async def test_a_job_of_a_dead_worker_is_taken_up_again(jobs, plant, working) -> None:
    """When it has said nothing for long; one that is alive keeps its own."""
    await plant("orphan", state=JobState.RUNNING, worker="dead", beat_at=1)
    await plant("cared for", state=JobState.RUNNING, worker="alive", beat_at=HOUR_MS, key_id="other")
    async with working():
        orphan = await until(jobs, "orphan", JobState.SUCCEEDED)
    assert orphan["worker"] == "this"
    assert (await jobs.find_one({"_id": "cared for"}))["worker"] == "alive"


async def test_a_worker_that_stops_leaves_its_job_to_others(jobs, plant, working) -> None:
    await plant("slow", SLOW)
    async with working("first"):
        await until(jobs, "slow", JobState.RUNNING)
    job = await jobs.find_one({"_id": "slow"})
    assert (job["state"], job["worker"]) == (JobState.QUEUED, None)
    await jobs.update_one({"_id": "slow"}, {"$set": {"sql": "select 1"}})
    async with working("second"):
        assert (await until(jobs, "slow", JobState.SUCCEEDED))["worker"] == "second"


async def test_two_workers_never_run_one_job(jobs, plant, working) -> None:
    for n in range(6):
        await plant(f"job-{n}", created_at=n + 1)
    async with working("one", per_key=3), working("two", per_key=3):
        done = [await until(jobs, f"job-{n}", JobState.SUCCEEDED) for n in range(6)]
    assert {job["worker"] for job in done} <= {"one", "two"}
    assert all(job["finished_at"] == HOUR_MS for job in done)


async def test_two_workers_keep_to_what_a_key_may_have(jobs, plant, fresh_mongo) -> None:
    """However close together they look: whoever finds that it is one too many puts its job back."""
    stores = [JobStore(fresh_mongo, name) for name in ("one", "two", "three")]
    for turn in range(5):
        for n in range(3):
            await plant(f"{turn}-{n}", created_at=n + 1)
        taken = [job for job in await asyncio.gather(*(store.take(HOUR_MS, 1) for store in stores)) if job is not None]
        assert len(taken) == await jobs.count_documents({"state": JobState.RUNNING}) <= 1
        assert taken or await stores[0].take(HOUR_MS, 1)  # where all put theirs back
        assert await jobs.count_documents({"state": JobState.RUNNING}) == 1
        await jobs.delete_many({})
    for store in stores:
        await store.close()


async def test_a_snapshot_that_has_expired_is_said(jobs, plant, working) -> None:
    await plant("late", asked_snapshots={"b_log": 1, "b_latest": None, "a_log": None, "a_latest": None})
    async with working():
        late = await until(jobs, "late", JobState.FAILED)
    assert (late["error_code"], "expired" in late["error_detail"]) == ("query_invalid", True)


async def test_results_are_deleted_when_they_are_old_or_nobody_knows_them(plant, fresh_mongo, results) -> None:
    await plant("known")
    for name in ("known", "unknown"):
        page_path(results, name, 0).parent.mkdir(parents=True)
        page_path(results, name, 0).write_bytes(b"[]")
    store = JobStore(fresh_mongo, "this")
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    await Tidying(store, results, ManualClock(now_ms), HOUR_MS).tidy()
    assert [path.name for path in results.iterdir()] == ["known"]
    await Tidying(store, results, ManualClock(now_ms + 2 * HOUR_MS), HOUR_MS).tidy()
    assert list(results.iterdir()) == []
    await store.close()
