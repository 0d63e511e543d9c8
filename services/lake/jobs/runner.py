"""Runs one job: pins the lake, starts the child, takes its pages in, and ends it when it takes too long.

The child is never trusted: what it sends is bytes for a file, counted; what it says about itself is told on as it is.
"""

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGXCPU, Signals
from typing import Final, NamedTuple

import msgspec
import structlog

from common.analytics import Column, StoredJob, page_path
from common.contracts import Stream
from lake.jobs.frames import HEADER, MAX_FRAME_BYTES, Ended, Kind, Task
from twinstream_lake.catalog import Catalog
from twinstream_lake.pins import StreamPin, pin
from twinstream_lake.views import views

log = structlog.get_logger()

_STEPS_BACK: Final = True
_LAST_WORDS: Final = 500


@dataclass(frozen=True)
class Limits:
    """What a query may take."""

    memory_mb: int
    address_space_mb: int
    spill_mb: int
    user: str | None


class Outcome(NamedTuple):
    """What became of a query."""

    snapshots: dict[str, int | None]
    columns: list[Column]
    rows: int
    size: int
    pages: int
    truncated: bool
    code: str | None
    detail: str


class Runner:
    """Starts a child for each query."""

    def __init__(self, catalog: Catalog, results: Path, scratch: Path, limits: Limits) -> None:
        self._catalog = catalog
        self._results = results
        self._scratch = scratch
        self._limits = limits

    async def run(self, job: StoredJob, progressed: Callable[[float], Awaitable[None]]) -> Outcome:
        """Run `job`; a cancellation ends the child at once.

        Raises:
            Refused: a snapshot that it is to read has expired.
            TryLater: the lake is away.
        """
        pins = await asyncio.to_thread(self._pin, job.asked_snapshots)
        spill = Path(tempfile.mkdtemp(prefix="query-", dir=self._scratch))
        try:
            return await self._in(spill, job, pins, progressed)
        finally:
            await asyncio.to_thread(shutil.rmtree, spill, ignore_errors=True)

    def look(self) -> None:
        """See whether the tables are there.

        Raises:
            TryLater: they are not, or the lake is away.
        """
        self._pin(None)

    def discard(self, job_id: str) -> None:
        """Delete what there is of a result."""
        shutil.rmtree(page_path(self._results, job_id, 0).parent, ignore_errors=True)

    def _pin(self, snapshots: dict[str, int | None] | None) -> dict[Stream, StreamPin]:
        return {stream: pin(self._catalog, stream, snapshots) for stream in Stream}

    def _task(self, spill: Path, job: StoredJob, pins: dict[Stream, StreamPin]) -> Task:
        files = [path for one in pins.values() for path in (*one.log.files, *one.latest.files)]
        return Task(
            sql=job.sql,
            parameters=msgspec.json.decode(job.parameters),
            views=views(pins),
            files=[path.removeprefix("file://") for path in files],
            format=job.format,
            max_rows=job.max_rows,
            max_bytes=job.max_bytes,
            page_rows=job.page_rows,
            spill=str(spill),
            spill_mb=self._limits.spill_mb,
            memory_mb=self._limits.memory_mb,
            address_space_mb=self._limits.address_space_mb,
            cpu_seconds=int(job.timeout_seconds) + 10,
            user=self._limits.user,
            worker=os.getpid(),
            steps_back=_STEPS_BACK,
        )

    async def _in(
        self, spill: Path, job: StoredJob, pins: dict[Stream, StreamPin], progressed: Callable[[float], Awaitable[None]]
    ) -> Outcome:
        self.discard(job.id)
        page_path(self._results, job.id, 0).parent.mkdir(parents=True)
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-m",
            "lake.jobs.child",
            env={"LANG": "C.UTF-8"},  # nothing of ours: connection strings and the secret stand in it
            cwd=spill,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        pages = _Pages(self._results, job.id, job.max_bytes)
        late = False
        try:
            async with asyncio.timeout(job.timeout_seconds):
                task = msgspec.json.encode(self._task(spill, job, pins))
                ended, words = await _converse(child, task, pages, progressed)
        except TimeoutError:
            late, ended, words = True, None, b""
        finally:
            with suppress(ProcessLookupError):
                child.kill()  # some functions heed no interrupt
            code = await child.wait()
        snapshots = {one.table: one.snapshot for pinned in pins.values() for one in (pinned.log, pinned.latest)}
        if ended is None:
            how = _late(job) if late else _crashed(code, words)
            ended = Ended(code=how[0], detail=how[1])
        log.info("child_ended", job=job.id, code=ended.code, status=code, confinement=ended.confinement)
        return Outcome(
            snapshots, ended.columns, ended.rows, pages.size, pages.count, ended.truncated, ended.code, ended.detail
        )


class _Pages:
    """The pages of a result, written as they come."""

    def __init__(self, results: Path, job_id: str, max_bytes: int) -> None:
        self._results = results
        self._job_id = job_id
        self._max_bytes = max_bytes
        self.count = 0
        self.size = 0

    def add(self, body: bytes) -> bool:
        """Keep a page; False when the result would be longer than it may."""
        self.size += len(body)
        if self.count and self.size > self._max_bytes:
            return False
        page_path(self._results, self._job_id, self.count).write_bytes(body)
        self.count += 1
        return True


async def _converse(
    child: asyncio.subprocess.Process, task: bytes, pages: _Pages, progressed: Callable[[float], Awaitable[None]]
) -> tuple[Ended | None, bytes]:
    """Tell the child its task and hear it to the end; None when it fell silent before, with its last words."""
    assert child.stdin and child.stdout and child.stderr  # noqa: S101, PT018  # they are pipes
    words = asyncio.create_task(_tail(child.stderr))
    with suppress(BrokenPipeError, ConnectionResetError):
        child.stdin.write(task)
        await child.stdin.drain()
        child.stdin.close()
    try:
        while True:
            kind, length = HEADER.unpack(await child.stdout.readexactly(HEADER.size))
            if length > MAX_FRAME_BYTES:
                return Ended(code="query_failed", detail="A page of the result is too large: ask for fewer rows."), b""
            body = await child.stdout.readexactly(length)
            if kind == Kind.END:
                return msgspec.json.decode(body, type=Ended), b""
            if kind == Kind.PROGRESS:
                await progressed(msgspec.json.decode(body, type=float))
            elif not await asyncio.to_thread(pages.add, body):
                return Ended(code="query_failed", detail="The result is longer than it may be."), b""
    except (asyncio.IncompleteReadError, msgspec.MsgspecError):
        return None, await words
    finally:
        words.cancel()


async def _tail(stream: asyncio.StreamReader) -> bytes:
    """The last of what a child complains of."""
    kept = b""
    while chunk := await stream.read(4096):
        kept = (kept + chunk)[-_LAST_WORDS:]
    return kept


def _late(job: StoredJob) -> tuple[str, str]:
    return "query_timeout", f"It took longer than {job.timeout_seconds:g} seconds."


def _crashed(status: int, words: bytes) -> tuple[str, str]:
    """What ended a child that did not say so itself."""
    if -status == SIGXCPU:
        return "query_timeout", "It took more of the processor than it may."
    if -status == SIGKILL or b"bad_alloc" in words or b"MemoryError" in words or b"emory" in words:
        return "query_out_of_memory", "It took more memory than it may."
    how = Signals(-status).name if status < 0 else f"status {status}"
    log.warning("child_crashed", how=how, words=words.decode(errors="replace"))
    return "query_crashed", f"The process that ran it ended by itself ({how})."
