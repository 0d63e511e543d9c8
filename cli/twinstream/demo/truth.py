"""The file that `--truth` names: every signal that was planted, as NDJSON, once its record is acknowledged."""

from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from twinstream.demo.synthetic import Truth
from twinstream.errors import CliError


class TruthFile:
    """Holds truths back until their record, by its number counted from 1, is acknowledged."""

    def __init__(self, path: Path) -> None:
        self._pending: deque[tuple[int, Truth]] = deque()
        try:
            self._file = path.open("wb")
        except OSError as error:
            raise CliError("The file of truths cannot be written", f"{path}: {error.strerror}.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def planted(self, number: int, truth: Truth) -> None:
        """A signal is in the record with this number, which is about to be sent."""
        self._pending.append((number, truth))

    def acknowledged(self, number: int) -> None:
        """All records up to this number are in the log."""
        while self._pending and self._pending[0][0] <= number:
            self._file.write(msgspec.json.encode(self._pending.popleft()[1]) + b"\n")
        self._file.flush()
