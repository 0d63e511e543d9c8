"""When a failed delivery is tried again. Pure."""

from collections.abc import Callable
from typing import Final

_S: Final = 1_000
_MIN: Final = 60 * _S
_H: Final = 60 * _MIN

WAITS_MS: Final = (5 * _S, 30 * _S, 2 * _MIN, 10 * _MIN, 30 * _MIN, _H, 2 * _H, 4 * _H, 8 * _H, 12 * _H)
"""After the first failed attempt, the second, …: eleven attempts over about 28 hours."""

LONGEST_ASKED_MS: Final = 24 * _H  # a receiver may ask for more patience, but not for ever
_JITTER: Final = 0.2


def wait_ms(tries: int, asked_ms: int, random: Callable[[], float], factor: float = 1.0) -> int | None:
    """How long to wait after `tries` failed attempts; None when it is given up.

    Args:
        tries: at least 1.
        asked_ms: what the receiver asked for; 0 where it did not.
        random: 0 to 1; spreads what failed together.
        factor: what each wait is multiplied by.
    """
    if tries > len(WAITS_MS):
        return None
    spread = 1 + _JITTER * (2 * random() - 1)
    return max(round(WAITS_MS[tries - 1] * spread * factor), min(asked_ms, LONGEST_ASKED_MS))
