"""Which process runs as what: written down, so that it is known to other commands and after a crash of the supervisor.

A pid alone proves nothing, for the system gives it to another process sooner or later. A process is one of ours only
while its pid, its moment of creation and its command line all are what was written down.
"""

import fcntl
import os
import signal
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec
import psutil

from common.errors import CannotStart

SUPERVISOR: Final = "up"

_SAME_MOMENT_S: Final = 2.0  # the system derives it from its clock, which may have been set right meanwhile
_BEGINS_WITHIN_S: Final = 5.0
_BEGINNING_S: Final = 0.001
_KILLED_WITHIN_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.05


class State(StrEnum):
    """What a supervised process is doing."""

    STARTING = "starting"
    READY = "ready"
    DIED = "died"
    STOPPED = "stopped"


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A process that was started, as it stands in a file of its own."""

    name: str
    pid: int
    created: float  # seconds since the epoch, as the system counts them
    command: list[str]
    state: State = State.STARTING
    restarts: int = 0
    order: int = 0  # the stage of its start; stages stop in reverse
    ports: list[int] = []
    stop_within_s: float = 20.0

    def process(self) -> psutil.Process | None:
        """The process, if it still runs and is the one that was meant."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < _SAME_MOMENT_S and process.cmdline() == self.command
        except psutil.Error:  # gone, a zombie, or another user's: not ours in any case
            return None
        return process if same else None


def claim_of(name: str, pid: int) -> Claim | None:
    """The claim of a process that runs as `name` now; None when it is gone already."""
    try:
        process = psutil.Process(pid)
        return Claim(name=name, pid=pid, created=process.create_time(), command=_command_of(process))
    except psutil.Error:
        return None


def _command_of(process: psutil.Process) -> list[str]:
    """Its command line. One that has only just begun shows none, and would be recognised by none ever after."""
    deadline_s = time.monotonic() + _BEGINS_WITHIN_S
    while not (command := process.cmdline()) and time.monotonic() < deadline_s:
        time.sleep(_BEGINNING_S)
    return command


class Claims:
    """The claims of one profile, in a folder that one supervisor at a time may write to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def held(self) -> Generator[None]:
        """Be the one supervisor. The system itself lets go of the lock when this process ends, however it ends.

        Raises:
            CannotStart: another one is; says who.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise CannotStart(self._who()) from None
            own = claim_of(SUPERVISOR, os.getpid())
            if own is not None:
                self.write(own)
            try:
                yield
            finally:
                self.release(SUPERVISOR)

    def supervisor(self) -> Claim | None:
        """The claim of the supervisor that runs now."""
        claim = self._read(self._path(SUPERVISOR))
        return None if claim is None or claim.process() is None else claim

    def write(self, claim: Claim) -> None:
        """Put `claim` in the place of a former one, in one step."""
        fresh = self._folder / f".{claim.name}.new"
        fresh.write_bytes(msgspec.json.encode(claim))
        fresh.replace(self._path(claim.name))

    def release(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def all(self) -> list[Claim]:
        """Every claim but the supervisor's, in the order of the start; half a file is none."""
        found = (self._read(path) for path in self._folder.glob("*.json"))
        claims = [claim for claim in found if claim is not None and claim.name != SUPERVISOR]
        return sorted(claims, key=lambda claim: (claim.order, claim.created))

    def _read(self, path: Path) -> Claim | None:
        try:
            return msgspec.json.decode(path.read_bytes(), type=Claim)
        except (msgspec.MsgspecError, OSError):
            return None

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _who(self) -> str:
        claim = self.supervisor()
        if claim is None:
            return "another command is at work on the same data: try again in a moment"
        since = datetime.fromtimestamp(claim.created, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        return (
            f"it runs already, as pid {claim.pid}, since {since}: "
            "`twinstream status` shows it, `twinstream down` stops it"
        )


def stop_orphans(claims: Claims, found: Callable[[Claim], None] = lambda _: None) -> list[Claim]:
    """Stop what a supervisor that is gone left running, the last stage first; returns what there was.

    `found` is told of each before it is stopped. Claims of processes that are gone are dropped. Call it as the one
    who holds the claims.
    """
    orphans = []
    for _, stage in groupby(reversed(claims.all()), key=lambda claim: claim.order):
        members = [(claim, claim.process()) for claim in stage]
        left = [(claim, process) for claim, process in members if process is not None]
        for claim, process in left:
            found(claim)
            _ask_to_end(process)
        for claim, process in left:
            _make_end(process, claim.stop_within_s)
        for claim, _ in members:
            claims.release(claim.name)
        orphans += [claim for claim, _ in left]
    return orphans


def _ask_to_end(process: psutil.Process) -> None:
    """With the group that it leads."""
    signal_group(process.pid, signal.SIGTERM)
    signal_group(process.pid, signal.SIGCONT)  # one that was suspended could not hear us


def _make_end(process: psutil.Process, within_s: float) -> None:
    """Unless it ends in time by itself."""
    if not until_gone(process, within_s):
        signal_group(process.pid, signal.SIGKILL)
        until_gone(process, _KILLED_WITHIN_S)


def until_gone(process: psutil.Process, within_s: float) -> bool:
    """Wait until a process has ended; whether it did in time.

    One that its parent does not ask after, as in a container without an init, stays a zombie: it has ended, too.
    """
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        try:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(_LOOK_EVERY_S)
    return False


def signal_group(pid: int, number: int) -> None:
    """Send a signal to `pid` and all that it started: each of ours leads a process group."""
    with suppress(ProcessLookupError, PermissionError):  # macOS answers with the latter for a group of zombies
        os.killpg(pid, number)
