"""Where a worker stands in one partition, and how long it waits before it tries again."""

import asyncio
import random
from dataclasses import dataclass
from typing import Final

_FIRST_BACKOFF_S: Final = 0.1
_LONGEST_BACKOFF_S: Final = 10.0


@dataclass
class Progress:
    """Where one assigned partition stands."""

    position: int = 0
    placed: bool = False
    backoff_s: float = 0.0
    resume_at: float = 0.0  # loop time
    trouble: str | None = None
    committed: int = -1

    def back_off(self) -> None:
        self.backoff_s = min(_LONGEST_BACKOFF_S, max(_FIRST_BACKOFF_S, self.backoff_s * 2))
        # Jitter keeps workers that lost the same store from returning to it all at once.
        self.resume_at = now() + self.backoff_s * random.uniform(0.5, 1.0)  # noqa: S311  # not a secret

    def moved_to(self, position: int) -> None:
        self.position, self.backoff_s, self.resume_at, self.trouble = position, 0.0, 0.0, None


def now() -> float:
    """The event loop's time, in seconds."""
    return asyncio.get_running_loop().time()
