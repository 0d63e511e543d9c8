"""Takes jobs one after the other, a few at a time, and sees each to its end.

A job that is cancelled, or taken from here because this process was thought dead, is noticed by the next beat. A job
whose worker died is taken up again: it only reads, and its result is written anew.
"""

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import structlog

from common import metrics
from common.analytics import JobState, StoredJob
from common.clock import Clock
from common.concurrency import pause
from common.errors import Refused, TryLater
from lake.jobs.runner import Outcome, Runner
from lake.jobs.store import SERVICE, JobStore

log = structlog.get_logger()

_POLL_S: Final = 0.4
_BEAT_S: Final = 1.0
_DEAD_AFTER_MS: Final = 30_000
_TIDY_EVERY_S: Final = 300.0
_AGAIN_S: Final = 1.0


class JobWorker:
    """Runs jobs."""

    def __init__(self, store: JobStore, runner: Runner, clock: Clock, *, at_once: int, per_key: int) -> None:
        self._store = store
        self._runner = runner
        self._clock = clock
        self._at_once = at_once
        self._per_key = per_key
        self._running: set[asyncio.Task[None]] = set()
        self._trouble: str | None = None

    def problem(self) -> str | None:
        """Readiness: what keeps it from taking jobs, or None."""
        return self._trouble

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; what runs then is ended, and waits for another worker."""
        try:
            while not stop.is_set():
                try:
                    await self._store.release(self._clock.now_ms() - _DEAD_AFTER_MS)
                    while len(self._running) < self._at_once and await self._start_one():
                        pass
                    self._trouble = None
                except TryLater as error:
                    self._trouble = str(error)
                    metrics.STORE_FAILURES.labels(SERVICE).inc()
                    await pause(stop, _AGAIN_S)
                await pause(stop, _POLL_S)
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
            with suppress(TryLater):
                await self._store.release()

    async def _start_one(self) -> bool:
        job = await self._store.take(self._clock.now_ms(), self._per_key)
        if job is None:
            return False
        task = asyncio.create_task(self._see_through(job), name=f"job {job.id}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return True

    async def _see_through(self, job: StoredJob) -> None:
        progress: list[float] = []

        async def progressed(share: float) -> None:
            progress[:] = [share]

        running = asyncio.create_task(self._fields(job, progressed))
        try:
            while not (await asyncio.wait({running}, timeout=_BEAT_S))[0]:
                if not await self._still_ours(job, progress):
                    return
            await self._finish(job, running.result())
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def _still_ours(self, job: StoredJob, progress: list[float]) -> bool:
        try:
            return await self._store.beat(job.id, self._clock.now_ms(), progress[0] if progress else None)
        except TryLater:  # it may be, and is worth going on
            return True

    async def _fields(self, job: StoredJob, progressed: Any) -> dict[str, Any]:
        """Run it; what its document is to say then."""
        try:
            return _told(await self._runner.run(job, progressed))
        except Refused as refused:
            return {"state": JobState.FAILED, "error_code": "query_invalid", "error_detail": refused.detail}
        except (TryLater, OSError) as error:
            log.warning("job_failed", job=job.id, detail=str(error))
            detail = "The lake was away: try again."
            return {"state": JobState.FAILED, "error_code": "query_failed", "error_detail": detail}

    async def _finish(self, job: StoredJob, fields: dict[str, Any]) -> None:
        now_ms = self._clock.now_ms()
        while True:
            try:
                ours = await self._store.finish(job.id, {**fields, "finished_at": now_ms})
            except TryLater:
                await asyncio.sleep(_AGAIN_S)  # a result that nobody can find would have been for nothing
                continue
            break
        if not ours or fields["state"] != JobState.SUCCEEDED:
            await asyncio.to_thread(self._runner.discard, job.id)
        seconds = (now_ms - job.created_at) / 1000
        log.info("job_done", job=job.id, state=fields["state"], code=fields.get("error_code"), seconds=seconds)
        metrics.QUERIES.labels(str(fields["state"]), fields.get("error_code") or "").inc()
        metrics.QUERY_SECONDS.observe(seconds)


class Tidying:
    """Deletes results that are old, or whose job is forgotten."""

    def __init__(self, store: JobStore, results: Path, clock: Clock, keep_ms: int) -> None:
        self._store = store
        self._results = results
        self._clock = clock
        self._keep_ms = keep_ms

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set."""
        while not stop.is_set():
            with suppress(TryLater, OSError):
                await self.tidy()
            await pause(stop, _TIDY_EVERY_S)

    async def tidy(self) -> None:
        """Do it once.

        Raises:
            TryLater: MongoDB is away.
        """
        before_s = (self._clock.now_ms() - self._keep_ms) / 1000
        folders = await asyncio.to_thread(lambda: list(self._results.iterdir()) if self._results.exists() else [])
        known = await self._store.known([folder.name for folder in folders])
        for folder in folders:
            if folder.name not in known or folder.stat().st_mtime < before_s:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _told(outcome: Outcome) -> dict[str, Any]:
    told: dict[str, Any] = {"snapshots": outcome.snapshots}
    if outcome.code is not None:
        return told | {"state": JobState.FAILED, "error_code": outcome.code, "error_detail": outcome.detail}
    return told | {
        "state": JobState.SUCCEEDED,
        "progress": 1.0,
        "columns": [{"name": column.name, "type": column.type} for column in outcome.columns],
        "rows": outcome.rows,
        "bytes": outcome.size,
        "pages": outcome.pages,
        "truncated": outcome.truncated,
    }
