"""How many bytes of bodies may be in hand at once: past that, requests are told to come back instead of being kept."""

from typing import Self

from common.errors import Refused


class Budget:
    """Counts the bytes of all bodies that have been read and not yet answered."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._taken = 0

    def share(self) -> "Share":
        """One request's part, to be used as a context manager."""
        return Share(self)

    def take(self, count: int) -> None:
        """Take `count` bytes.

        Raises:
            Refused: overloaded; nothing is taken.
        """
        if self._taken + count > self._limit:
            raise Refused("overloaded", f"More than {self._limit:,} bytes of bodies are in hand already.")
        self._taken += count

    def give_back(self, count: int) -> None:
        self._taken -= count


class Share:
    """What one request has taken; given back when it ends, however it ends."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.give_back(self._taken)

    def grow_to(self, size: int) -> None:
        """Make this share at least `size` bytes.

        Raises:
            Refused: overloaded.
        """
        if size > self._taken:
            self._budget.take(size - self._taken)
            self._taken = size
