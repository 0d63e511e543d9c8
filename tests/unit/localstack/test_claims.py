"""Which processes are ours, across crashes of the one who started them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import pytest

from common.errors import CannotStart
from localstack.claims import Claim, Claims, claim_of, stop_orphans, until_gone

SLEEPER = (sys.executable, "-S", "-c", "import signal; print(flush=True); signal.pause()")
DEAF = (
    sys.executable,
    "-S",
    "-c",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True)\nwhile True: signal.pause()",
)

# A supervisor that is killed as soon as its process runs.
SUPERVISOR = """
import asyncio, os, signal, sys
from pathlib import Path
from localstack.claims import Claims
from localstack.processes import Process
from localstack.supervisor import Supervisor

async def ready():
    return True

async def main(folder):
    claims = Claims(folder / "run")
    with claims.held():
        command = (sys.executable, "-S", "-c", "import signal; signal.pause()")
        names = ("kafka", "mongo")
        await Supervisor(claims).start(Process(n, command, folder / f"{n}.log", ready) for n in names)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.fixture
def started():
    """Starts processes in groups of their own, and leaves none behind."""
    processes = []

    def start(command: tuple[str, ...] = SLEEPER) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(  # noqa: S603  # commands of this file
            command, start_new_session=True, stdout=subprocess.PIPE
        )
        processes.append(process)
        process.stdout.readline()
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_claim_finds_its_process(started) -> None:
    """By pid, moment of creation and command line."""
    claim = claim_of("one", started().pid)
    assert claim.process().pid == claim.pid
    assert claim.command == list(SLEEPER)


@pytest.mark.parametrize(
    "different",
    [{"created": 1_000_000.0}, {"command": ["java", "kafka.Kafka"]}, {"pid": 2**22 + 1}],
    ids=["created at another time", "another command", "no such pid"],
)
def test_another_process_with_the_same_pid_is_not_ours(started, claims: Claims, different: dict[str, object]) -> None:
    """Pids are used again: nothing is sent to a process that merely has one that was ours."""
    process = started()
    claims.write(msgspec.structs.replace(claim_of("one", process.pid), **different))
    assert stop_orphans(claims) == []
    assert process.poll() is None
    assert claims.all() == []


def test_a_process_that_has_only_just_begun_is_known_by_its_command(started, monkeypatch) -> None:
    """The system shows none until its program is in place: written down like that, nobody would find it again."""
    begun, early = started(), iter([True, True])
    cmdline = psutil.Process.cmdline
    monkeypatch.setattr(psutil.Process, "cmdline", lambda process: [] if next(early, False) else cmdline(process))
    claim = claim_of("one", begun.pid)
    assert claim.command == list(SLEEPER)
    assert claim.process().pid == begun.pid


def test_a_process_that_is_gone_has_no_claim() -> None:
    """There is nothing to write down."""
    assert claim_of("one", 2**22 + 1) is None


def test_half_a_claim_is_none(claims: Claims, tmp_path: Path) -> None:
    """A full disk or a crash may leave one; it is in nobody's way."""
    (tmp_path / "run" / "kafka.json").write_text('{"name": "kafka", "pi')
    (tmp_path / "run" / "mongo.json").write_text('{"name": "mongo", "pid": "x"}')
    assert claims.all() == []
    with claims.held():
        assert claims.supervisor() is not None


def test_a_second_supervisor_is_turned_away(claims: Claims, tmp_path: Path) -> None:
    """It is told who is there, and how to see and to stop it."""
    with claims.held(), pytest.raises(CannotStart) as refusal, Claims(tmp_path / "run").held():
        pass
    assert f"runs already, as pid {os.getpid()}" in str(refusal.value)
    assert "twinstream down" in str(refusal.value)


def test_the_next_supervisor_is_let_in(claims: Claims) -> None:
    """Nothing of the one before is in its way."""
    with claims.held():
        assert claims.supervisor().pid == os.getpid()
    assert claims.supervisor() is None
    with claims.held():
        assert claims.supervisor() is not None


def test_a_stale_claim_of_a_supervisor_is_harmless(claims: Claims) -> None:
    """After a kill -9 or a power cut its file is still there; maybe its pid is another process's by now."""
    claims.write(Claim(name="up", pid=os.getpid(), created=1.0, command=["twinstream", "up"]))
    assert claims.supervisor() is None
    with claims.held():
        assert claims.supervisor().command == psutil.Process().cmdline()


def test_what_a_killed_supervisor_left_is_found_and_stopped(tmp_path: Path, alive) -> None:
    """Each told of before it is stopped."""
    supervisor = subprocess.run(  # noqa: S603  # code of this file
        [sys.executable, "-c", SUPERVISOR, str(tmp_path)], check=False, timeout=60
    )
    assert supervisor.returncode == -signal.SIGKILL
    claims = Claims(tmp_path / "run")
    left = claims.all()
    assert sorted(claim.name for claim in left) == ["kafka", "mongo"]
    assert all(alive(claim.pid) for claim in left)
    told = []
    with claims.held():
        stopped = stop_orphans(claims, told.append)
    assert stopped == told == list(reversed(left))
    assert not any(alive(claim.pid) for claim in left)
    assert claims.all() == []


def test_an_orphan_that_hangs_is_killed(claims: Claims, started, alive) -> None:
    """It has had its time."""
    process = started(DEAF)
    claims.write(msgspec.structs.replace(claim_of("mongo", process.pid), stop_within_s=0.1))
    stop_orphans(claims)
    assert not alive(process.pid)


def test_an_orphan_that_was_suspended_is_stopped(claims: Claims, started) -> None:
    """It is woken to hear it, not killed."""
    process = started()
    claims.write(claim_of("mongo", process.pid))
    os.kill(process.pid, signal.SIGSTOP)
    stop_orphans(claims)
    assert process.wait() == -signal.SIGTERM


def test_claims_are_in_the_order_of_the_start(claims: Claims) -> None:
    """A server that was restarted since is still what the services stand on, and stops after them."""
    for name, order, created in (("kafka", 0, 300.0), ("mongo", 1, 100.0), ("ingest", 2, 200.0)):
        claims.write(Claim(name=name, order=order, created=created, pid=1, command=[]))
    assert [claim.name for claim in claims.all()] == ["kafka", "mongo", "ingest"]


def test_a_zombie_counts_as_gone(started) -> None:
    """In a container without an init, nobody asks after orphans; that must not hold up the next start."""
    process = started()
    watched = psutil.Process(process.pid)
    process.kill()
    assert until_gone(watched, within_s=20)
    assert watched.status() == psutil.STATUS_ZOMBIE
