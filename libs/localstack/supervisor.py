"""Starts processes stage by stage, keeps them running, and stops them stage by stage in reverse."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from signal import SIGKILL
from typing import Final

from common.concurrency import all_of
from localstack.child import Backoff, Child, Report
from localstack.claims import Claims, State
from localstack.logs import rotate
from localstack.processes import Process

_LOOK_AT_LOGS_EVERY_S: Final = 60.0


class Supervisor:
    """Keeps processes running from `start` to `stop`."""

    def __init__(self, claims: Claims, report: Report = lambda *_: None, backoff: Backoff | None = None) -> None:
        self._claims = claims
        self._report = report
        self._backoff = backoff or Backoff()
        self._children: dict[str, Child] = {}
        self._stages: list[list[Child]] = []
        self._rotating: asyncio.Task[None] | None = None

    async def start(self, stage: Iterable[Process]) -> None:
        """Start the processes of a stage side by side and wait until all are ready.

        Raises:
            CannotStart: one died, or was not ready in time; its last lines are in the message.
        """
        order = len(self._stages)
        children = [Child(process, order, self._claims, self._report, self._backoff) for process in stage]
        self._stages.append(children)
        self._children |= {child.process.name: child for child in children}
        starting = [asyncio.create_task(child.start(), name=f"start {child.process.name}") for child in children]
        try:
            await asyncio.gather(*starting)
        finally:
            for task in starting:
                task.cancel()
            await asyncio.gather(*starting, return_exceptions=True)
        self._rotating = self._rotating or asyncio.create_task(self._rotate_logs(), name="rotate logs")

    async def stop(self) -> None:
        """Stop all, the last stage first; those of a stage need nothing of each other, and stop side by side."""
        if self._rotating is not None:
            self._rotating.cancel()
        for child in self._children.values():
            child.abandon()
        for stage in reversed(self._stages):
            await all_of([child.stop() for child in stage])

    def force(self) -> None:
        """Kill all at once; a `stop` under way, or one that follows, then has nothing to wait for."""
        for child in self._children.values():
            child.abandon()
            child.signal(SIGKILL)

    def child(self, name: str) -> Child:
        """One of the processes, to watch it or to do it harm."""
        return self._children[name]

    def states(self) -> dict[str, State]:
        """What each process is doing, in the order of their start."""
        return {name: child.state for name, child in self._children.items()}

    async def _rotate_logs(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_AT_LOGS_EVERY_S)
            for child in self._children.values():
                with suppress(OSError):
                    await asyncio.to_thread(rotate, child.process.log)
