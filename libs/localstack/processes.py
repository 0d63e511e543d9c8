"""What a process is, to whoever supervises it."""

import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Ready = Callable[[], Awaitable[bool]]


@dataclass(frozen=True)
class Process:
    """How to start one process, where it logs, and how it says that it is ready."""

    name: str
    command: tuple[str, ...]
    log: Path
    ready: Ready
    """Asks over the process's own protocol; must not raise; an answer that takes too long is a no."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """What it listens on, by the name of the port in the profile."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to this process's own."""
    prepare: Callable[[], None] = lambda: None
    """Blocking work before the first start, such as formatting a disk; doing it again changes nothing."""
    start_within_s: float = 60.0
    stop_signal: int = signal.SIGTERM
    stop_within_s: float = 20.0
