"""The supervisor, over real processes of a few lines."""

import asyncio
import os
import signal
from dataclasses import replace

import pytest

from common.errors import CannotStart
from localstack.claims import State

STUBBORN = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(sys.argv[2], "a") as file:
    file.write(f"{sys.argv[1]} started {os.getpid()}\\n")
while True:
    signal.pause()
"""

# Starts a child of its own, which ignores SIGTERM, and tells of both once the child is there.
PARENT = """
import os, signal, subprocess, sys
code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
child = subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE)
child.stdout.readline()
with open(sys.argv[2], "a") as file:
    file.write(f"{sys.argv[1]} child {child.pid}\\n{sys.argv[1]} started {os.getpid()}\\n")
signal.pause()
"""

FAILING = "import sys; print('no such thing as a disk', flush=True); sys.exit(7)"

# Dies at its first two starts, each time before it is ready.
SHAKY = """
import os, signal, sys
with open(sys.argv[2], "a") as file:
    file.write(f"{sys.argv[1]} attempt {os.getpid()}\\n")
if 1 < open(sys.argv[2]).read().count("attempt") < 4:
    sys.exit(3)
with open(sys.argv[2], "a") as file:
    file.write(f"{sys.argv[1]} started {os.getpid()}\\n")
signal.pause()
"""


async def test_a_later_stage_starts_once_the_one_before_is_ready(supervisor, make_process, diary) -> None:
    """Services find their servers there."""
    await supervisor.start([make_process("kafka"), make_process("mongo")])
    assert {name for name, _, _ in diary.entries} == {"kafka", "mongo"}
    await supervisor.start([make_process("ingest")])
    assert diary.reported(State.READY)[-1] == "ingest"
    assert supervisor.states() == dict.fromkeys(("kafka", "mongo", "ingest"), State.READY)


async def test_stages_stop_in_the_reverse_of_their_order(supervisor, make_process, diary) -> None:
    """A service can flush to its servers until it is gone; those of a stage wait for nobody."""
    await supervisor.start([make_process("kafka"), make_process("mongo")])
    await supervisor.start([make_process("ingest")])
    await supervisor.stop()
    for stopped in ([name for name, word, _ in diary.entries if word == "stopped"], diary.reported(State.STOPPED)):
        assert (stopped[0], set(stopped[1:])) == ("ingest", {"kafka", "mongo"})


async def test_a_process_that_dies_is_started_again(supervisor, make_process, diary, eventually) -> None:
    """Visibly: its death and its return are both reported."""
    await supervisor.start([make_process()])
    os.kill(diary.pids("one")[0], signal.SIGKILL)
    await eventually(lambda: diary.reported(State.READY) == ["one", "one"])
    assert len(set(diary.pids("one"))) == 2
    (died,) = [detail for _, state, detail in diary.reports if state is State.DIED]
    assert died == "killed by SIGKILL; restarting in 0.01 s"


async def test_one_that_keeps_dying_is_started_ever_later(supervisor, make_process, diary, eventually) -> None:
    """Each wait is twice the one before, up to the longest."""
    await supervisor.start([make_process(code=SHAKY)])
    os.kill(diary.pids("one")[0], signal.SIGKILL)
    await eventually(lambda: diary.reported(State.READY) == ["one", "one"])
    waits = [detail.rpartition(" in ")[2] for _, state, detail in diary.reports if state is State.DIED]
    assert waits == ["0.01 s", "0.02 s", "0.04 s"]
    assert len(diary.pids("one", "attempt")) == 4


async def test_a_start_that_fails_shows_the_end_of_the_log(supervisor, make_process) -> None:
    """Nobody should have to look for it."""
    with pytest.raises(CannotStart) as failure:
        await supervisor.start([make_process("mongo", FAILING)])
    assert "mongo ended at its start: exit status 7" in str(failure.value)
    assert "    no such thing as a disk" in str(failure.value)


async def test_the_message_holds_no_lines_of_an_earlier_run(supervisor, make_process) -> None:
    """Old errors would lead astray."""
    process = make_process("mongo", FAILING)
    process.log.write_text("an old error\n")
    with pytest.raises(CannotStart) as failure:
        await supervisor.start([process])
    assert "an old error" not in str(failure.value)


async def test_a_command_that_is_not_there_is_told(supervisor, make_process, tmp_path) -> None:
    """An installation may be damaged."""
    process = make_process()
    missing = replace(process, command=(str(tmp_path / "missing"),))
    with pytest.raises(CannotStart, match=r"one cannot be started: .*missing"):
        await supervisor.start([missing])


async def test_one_that_is_never_ready_is_given_up(supervisor, make_process, diary, alive) -> None:
    """With a deadline of its own, and it does not stay behind."""

    async def never() -> bool:
        return False

    with pytest.raises(CannotStart, match=r"one was not ready within 0\.2 s"):
        await supervisor.start([make_process(ready=never, start_within_s=0.2)])
    await supervisor.stop()
    assert not any(alive(pid) for pid in diary.pids("one"))


async def test_a_question_without_an_answer_is_asked_again(supervisor, make_process, monkeypatch) -> None:
    """A server that hangs at its start holds up one question, not the start."""
    monkeypatch.setattr("localstack.child._ANSWER_WITHIN_S", 0.05)
    asked = []

    async def at_second_try() -> bool:
        asked.append(1)
        if len(asked) == 1:
            await asyncio.Event().wait()
        return True

    await supervisor.start([make_process(ready=at_second_try)])
    assert len(asked) == 2


async def test_one_failure_ends_the_start_of_its_stage(supervisor, make_process, diary, alive) -> None:
    """The others are not waited for, and stop with it."""

    async def never() -> bool:
        return False

    with pytest.raises(CannotStart, match="mongo"):
        await supervisor.start([make_process("kafka", ready=never), make_process("mongo", FAILING)])
    await supervisor.stop()
    assert not any(alive(pid) for pid in diary.pids("kafka"))


async def test_a_process_that_will_not_stop_is_killed(supervisor, make_process, diary, alive) -> None:
    """After its time, and the report says so."""
    await supervisor.start([make_process(code=STUBBORN, stop_within_s=0.1)])
    await supervisor.stop()
    assert not alive(diary.pids("one")[0])
    assert diary.reports[-1] == ("one", State.STOPPED, "killed, for it had not ended within 0.1 s")


async def test_a_process_that_hangs_can_be_stopped(supervisor, make_process, diary) -> None:
    """One that was suspended is woken to hear that it shall stop."""
    await supervisor.start([make_process()])
    supervisor.child("one").signal(signal.SIGSTOP)
    await supervisor.stop()
    assert len(diary.pids("one", "stopped")) == 1


async def test_what_a_process_started_ends_with_it(supervisor, make_process, diary, eventually, alive) -> None:
    """Even where it dies without a word; the whole group goes."""
    await supervisor.start([make_process(code=PARENT)])
    (grandchild,) = diary.pids("one", "child")
    os.kill(diary.pids("one")[0], signal.SIGKILL)
    await eventually(lambda: not alive(grandchild))
    await eventually(lambda: len(diary.pids("one")) == 2)
    await supervisor.stop()
    await eventually(lambda: not alive(diary.pids("one", "child")[1]))


async def test_a_child_does_not_hear_the_ctrl_c_of_the_terminal(supervisor, make_process, diary) -> None:
    """Each leads a session of its own; else all would stop at once instead of in order."""
    await supervisor.start([make_process()])
    (pid,) = diary.pids("one")
    assert os.getsid(pid) == os.getpgid(pid) == pid


async def test_force_ends_a_stop_that_takes_long(supervisor, make_process, diary, alive) -> None:
    """A second Ctrl-C: nothing is restarted, nothing is waited for."""
    await supervisor.start([make_process("one", STUBBORN), make_process("two", STUBBORN)])
    stopping = asyncio.create_task(supervisor.stop())
    await asyncio.sleep(0)
    supervisor.force()
    await stopping
    assert not any(alive(pid) for name in ("one", "two") for pid in diary.pids(name))
    assert len(diary.entries) == 2


async def test_one_that_was_crashed_stays_away_until_it_is_started(supervisor, make_process, diary) -> None:
    """For tests that need a store to be away for a while."""
    await supervisor.start([make_process()])
    await supervisor.child("one").kill()
    assert supervisor.states() == {"one": State.STOPPED}
    with pytest.raises(LookupError):
        _ = supervisor.child("one").pid
    await supervisor.child("one").start()
    assert supervisor.child("one").pid == diary.pids("one")[1]


async def test_claims_follow_what_happens(supervisor, make_process, claims, diary, eventually) -> None:
    """`status` reads them from another process."""
    await supervisor.start([make_process(ports={"mongo": 27017})])
    (claim,) = claims.all()
    assert (claim.name, claim.pid, claim.state) == ("one", diary.pids("one")[0], State.READY)
    assert (claim.restarts, claim.ports) == (0, [27017])
    os.kill(claim.pid, signal.SIGKILL)
    await eventually(lambda: [c.restarts for c in claims.all() if c.state is State.READY] == [1])
    await supervisor.stop()
    assert claims.all() == []


async def test_logs_are_added_to(supervisor, make_process, eventually) -> None:
    """A restart keeps what came before."""
    process = make_process()
    process.log.write_text("before\n")
    await supervisor.start([process])
    await eventually(lambda: process.log.read_text() == "before\none speaks\n")
