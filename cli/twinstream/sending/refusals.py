"""The file that `--refusals` names: every refused record, as NDJSON."""

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from twinstream.errors import CliError
from twinstream.sending.tally import Refusal, refusal_line


class RefusalsFile:
    """Takes refusals down; `keep` bytes of what the file holds stay, the rest is told anew."""

    def __init__(self, path: Path, keep: int = 0) -> None:
        try:
            self._file = path.open("r+b" if keep and path.exists() else "w+b")
            self._file.truncate(keep)
            self.size = self._file.seek(0, 2)
        except OSError as error:
            raise CliError("The file of refusals cannot be written", f"{path}: {error.strerror}.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, refusals: Iterable[Refusal]) -> None:
        """Write `refusals` down to the operating system; `size` tells how long the file is then."""
        for refusal in refusals:
            self.size += self._file.write(refusal_line(refusal))
        self._file.flush()
