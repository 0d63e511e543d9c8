"""Tiny real processes to supervise, and ways to wait for what they do."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from localstack.child import Backoff
from localstack.claims import Claims, State
from localstack.processes import Process
from localstack.supervisor import Supervisor

PATIENCE_S = 60.0

# Writes down what happens to it, and ends when it is asked to.
OBEDIENT = """
import os, signal, sys
name, diary = sys.argv[1], sys.argv[2]
def say(word):
    with open(diary, "a") as file:
        file.write(f"{name} {word} {os.getpid()}\\n")
def stop(*_):
    say("stopped")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print(name, "speaks", flush=True)
say("started")
while True:
    signal.pause()
"""

MakeProcess = Callable[..., Process]
Eventually = Callable[[Callable[[], object]], Awaitable[None]]


@dataclass
class Diary:
    """What the processes of a test wrote down, and what the supervisor reported of them."""

    path: Path
    reports: list[tuple[str, State, str]] = field(default_factory=list)

    @property
    def entries(self) -> list[tuple[str, str, int]]:
        """Name, word and pid, in order."""
        if not self.path.exists():
            return []
        lines = (line.split() for line in self.path.read_text().splitlines())
        return [(name, word, int(pid)) for name, word, pid in lines]

    def pids(self, name: str, word: str = "started") -> list[int]:
        return [pid for who, what, pid in self.entries if (who, what) == (name, word)]

    def report(self, name: str, state: State, detail: str) -> None:
        self.reports.append((name, state, detail))

    def reported(self, state: State) -> list[str]:
        """The names that came into `state`, in order."""
        return [name for name, what, _ in self.reports if what is state]


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path / "diary")


@pytest.fixture
def claims(tmp_path: Path) -> Claims:
    (tmp_path / "run").mkdir()
    return Claims(tmp_path / "run")


@pytest.fixture
def make_process(tmp_path: Path, diary: Diary) -> MakeProcess:
    """Describes a process that runs some Python, by default one that does as it is told."""

    def make(name: str = "one", code: str = OBEDIENT, **options: object) -> Process:
        async def ready() -> bool:
            pids = diary.pids(name)
            return bool(pids) and alive_pid(pids[-1])

        command = (sys.executable, "-S", "-c", code, name, str(diary.path))
        defaults = {"ready": ready, "start_within_s": PATIENCE_S, "stop_within_s": PATIENCE_S}
        return Process(name=name, command=command, log=tmp_path / f"{name}.log", **(defaults | options))

    return make


@pytest_asyncio.fixture
async def supervisor(claims: Claims, diary: Diary) -> AsyncIterator[Supervisor]:
    """One that reports to the diary and waits little before a restart; nothing of it outlives the test."""
    supervisor = Supervisor(claims, diary.report, Backoff(first_s=0.01, longest_s=0.04, steady_after_s=3600))
    yield supervisor
    supervisor.force()
    await supervisor.stop()


@pytest.fixture
def eventually() -> Eventually:
    """Waits for a condition, but not for ever."""

    async def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "it did not come about"
            await asyncio.sleep(0.01)

    return wait


@pytest.fixture
def alive() -> Callable[[int], bool]:
    return alive_pid


def alive_pid(pid: int) -> bool:
    """Whether `pid` runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
