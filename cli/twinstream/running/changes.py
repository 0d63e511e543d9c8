"""Tells of processes that start, die, come back and stop."""

from collections.abc import Callable
from datetime import datetime
from time import monotonic
from typing import Final

import structlog
from rich.text import Text

from localstack.claims import State
from twinstream.running.screen import Screen

log = structlog.get_logger()

_NAME_WIDTH: Final = 17  # the longest name, lake-maintenance, and a space


class Changes:
    """Takes a supervisor's reports; what a person need not see goes to the log of `up` alone."""

    def __init__(self, screen: Screen, now_s: Callable[[], float] = monotonic) -> None:
        self._screen = screen
        self._now_s = now_s
        self._since_s: dict[str, float] = {}
        self._died: set[str] = set()

    def __call__(self, name: str, state: State, detail: str) -> None:
        log.info("process_changed", process=name, state=state.value, detail=detail)
        line = self._line(name, state, detail)
        if line is not None:
            self._screen.say(line)

    def starting(self) -> str:
        """The processes that have begun to start and are not ready."""
        return ", ".join(self._since_s)

    def _line(self, name: str, state: State, detail: str) -> Text | None:
        if state is State.STARTING:
            self._since_s[name] = self._now_s()
            return None
        since_s = self._since_s.pop(name, None)
        if state is State.DIED:
            self._died.add(name)
            return _event("✗", "red", name, detail)
        if state is State.STOPPED:
            return _event("■", "dim", name, f"stopped {detail}".rstrip())
        took = "" if since_s is None else f" after {self._now_s() - since_s:.1f} s"
        how = "back" if name in self._died else "ready"
        self._died.discard(name)
        return _event("✓", "green", name, f"{how}{took}")


def _event(mark: str, style: str, name: str, words: str) -> Text:
    clock = datetime.now().astimezone().strftime("%H:%M:%S")
    return Text.assemble((f"{clock} ", "dim"), (f"{mark} ", style), f"{name:<{_NAME_WIDTH}}", (words, style))
