"""One supervised process: started, asked until it is ready, restarted when it dies, and ended."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import msgspec

from common.errors import CannotStart
from localstack.claims import Claim, Claims, State, claim_of, signal_group
from localstack.logs import last_lines, rotate
from localstack.processes import Process

_ASK_EVERY_S: Final = 0.1
_ANSWER_WITHIN_S: Final = 5.0
_LINES_OF_LOG: Final = 15

Report = Callable[[str, State, str], None]
"""Called with a process's name, its new state and a few words on it; must not raise."""


@dataclass(frozen=True)
class Backoff:
    """How long to wait before a process that died is started again: ever longer, until it has been steady."""

    first_s: float = 0.5
    longest_s: float = 30.0
    steady_after_s: float = 60.0

    def after(self, former_s: float, lived_s: float) -> float:
        """The wait after a life of `lived_s` that followed a wait of `former_s`, 0 for none."""
        if not former_s or lived_s >= self.steady_after_s:
            return self.first_s
        return min(self.longest_s, former_s * 2)


class Child:
    """A process and the task that keeps it alive."""

    def __init__(self, process: Process, order: int, claims: Claims, report: Report, backoff: Backoff) -> None:
        self.process = process
        self._order = order
        self.state = State.STOPPED
        self._claims = claims
        self._report = report
        self._backoff = backoff
        self._claim: Claim | None = None
        self._system: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._restarts = 0
        self._log_begins = 0

    @property
    def pid(self) -> int:
        """The pid of the running process.

        Raises:
            LookupError: it does not run.
        """
        if self._system is None or self._system.returncode is not None:
            raise LookupError(f"{self.process.name} does not run")
        return self._system.pid

    async def start(self) -> None:
        """Start it and wait until it is ready; from then on a death is answered by a restart.

        Raises:
            CannotStart: it died or was not ready in time; its last lines are in the message.
        """
        try:
            await asyncio.to_thread(self.process.prepare)
            system = await self._spawn()
        except OSError as error:
            raise CannotStart(f"{self.process.name} cannot be started: {error}") from error
        if not await self._answers(system, self.process.start_within_s):
            raise CannotStart(self._failure())
        self._keeper = asyncio.create_task(self._keep(system), name=f"keep {self.process.name}")

    def abandon(self) -> None:
        """Leave it dead when it dies from now on."""
        if self._keeper is not None:
            self._keeper.cancel()

    async def stop(self) -> None:
        """Ask it to end, and make it when it does not in time."""
        self.abandon()
        if self._keeper is not None:
            await asyncio.gather(self._keeper, return_exceptions=True)
        detail = ""
        if self._system is not None:
            detail = await self._end(self._system)
        self._claim = self._system = self._keeper = None
        self._claims.release(self.process.name)
        if self.state is not State.STOPPED:
            self._tell(State.STOPPED, detail)

    async def kill(self) -> None:
        """End it without a warning and leave it dead."""
        self.abandon()
        self.signal(signal.SIGKILL)
        await self.stop()

    def signal(self, number: int) -> None:
        """Send a signal to it and all that it started."""
        if self._system is not None and self._system.returncode is None:
            if number == signal.SIGKILL:
                self._ready.clear()  # whoever waits from now on waits for its return
            signal_group(self._system.pid, number)

    async def until_ready(self) -> None:
        """Wait until it answers, at once when it does."""
        await self._ready.wait()

    async def _spawn(self) -> asyncio.subprocess.Process:
        process = self.process
        process.log.parent.mkdir(parents=True, exist_ok=True)
        rotate(process.log)
        self._tell(State.STARTING, "")
        with process.log.open("ab") as log:
            self._log_begins = log.tell()
            self._system = await asyncio.create_subprocess_exec(
                *process.command,
                env={**os.environ, **process.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is for the supervisor, who stops them in order
            )
        self._claim = claim_of(process.name, self._system.pid)
        self._write_claim()
        return self._system

    async def _answers(self, system: asyncio.subprocess.Process, within_s: float | None) -> bool:
        """Whether it becomes ready before it dies, and in time."""
        dying = asyncio.create_task(system.wait())
        readying = asyncio.create_task(self._until_answering())
        try:
            await asyncio.wait({dying, readying}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            if readying.done():
                readying.result()  # raises what the question itself met: no answer is not a good one
            return readying.done() and not dying.done()
        finally:
            dying.cancel()
            readying.cancel()

    async def _until_answering(self) -> None:
        """Ask until it says that it is ready."""
        while True:
            try:
                if await asyncio.wait_for(self.process.ready(), _ANSWER_WITHIN_S):
                    break
            except TimeoutError:
                continue
            await asyncio.sleep(_ASK_EVERY_S)
        self._ready.set()
        self._tell(State.READY, "")

    async def _keep(self, system: asyncio.subprocess.Process) -> None:
        """Whenever the process dies, start it again."""
        loop = asyncio.get_running_loop()
        wait_s = 0.0
        born_s = loop.time()
        while True:
            how = _how(await system.wait())
            signal_group(system.pid, signal.SIGKILL)  # what it started and left behind
            wait_s = self._backoff.after(wait_s, loop.time() - born_s)
            self._tell(State.DIED, f"{how}; restarting in {wait_s:g} s")
            await asyncio.sleep(wait_s)
            born_s = loop.time()
            self._restarts += 1
            system = await self._respawn(system)

    async def _respawn(self, former: asyncio.subprocess.Process) -> asyncio.subprocess.Process:
        """The process started anew, answering or dead; `former`, which is dead, when it cannot be started."""
        try:
            system = await self._spawn()
        except OSError:  # no space for its log, no memory: as good as a death
            return former
        await self._answers(system, None)  # however long: a server may have much to recover
        return system

    async def _end(self, system: asyncio.subprocess.Process) -> str:
        """How it had to be ended; empty when it went by itself."""
        if system.returncode is not None:
            return ""
        signal_group(system.pid, self.process.stop_signal)
        signal_group(system.pid, signal.SIGCONT)  # one that was suspended could not hear us
        try:
            await asyncio.wait_for(system.wait(), self.process.stop_within_s)
        except TimeoutError:
            signal_group(system.pid, signal.SIGKILL)
            await system.wait()
            return f"killed, for it had not ended within {self.process.stop_within_s:g} s"
        signal_group(system.pid, signal.SIGKILL)  # what it started and left behind
        return ""

    def _failure(self) -> str:
        code = None if self._system is None else self._system.returncode
        late = f"was not ready within {self.process.start_within_s:g} s"
        what = late if code is None else f"ended at its start: {_how(code)}"
        lines = last_lines(self.process.log, _LINES_OF_LOG, self._log_begins)
        said = "\n".join(f"    {line}" for line in lines)
        return f"{self.process.name} {what}\nThe end of {self.process.log}:\n{said or '    (nothing)'}"

    def _tell(self, state: State, detail: str) -> None:
        self.state = state
        if state is not State.READY:
            self._ready.clear()
        with suppress(OSError):  # a full disk makes `status` wrong; it must not end the keeping
            self._write_claim()
        self._report(self.process.name, state, detail)

    def _write_claim(self) -> None:
        if self._claim is not None:
            claim = msgspec.structs.replace(
                self._claim,
                state=self.state,
                restarts=self._restarts,
                order=self._order,
                ports=list(self.process.ports.values()),
                stop_within_s=self.process.stop_within_s,
            )
            self._claims.write(claim)


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
