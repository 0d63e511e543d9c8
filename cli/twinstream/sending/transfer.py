"""A file on its way, and how far it has come."""

from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Self

from common.contracts import Stream
from twinstream.sending.checkpoint import Checkpoint, Checkpoints
from twinstream.sending.lines import chunks_of, read_lines
from twinstream.sending.pace import Pace
from twinstream.sending.refusals import RefusalsFile
from twinstream.sending.reporter import Course
from twinstream.sending.run import Sending
from twinstream.sending.tally import Refusal
from twinstream.sending.waves import Wave, WaveSize, addressed_lines, waves


class Transfer:
    """Keeps a checkpoint behind every wave; a context manager that holds the file of refusals open.

    Args:
        checkpoint: where to go on.
        checkpoints: where it is kept; None for a source that cannot be read again.
        refusals: the file that takes down every refused record, or None.
    """

    def __init__(self, checkpoint: Checkpoint, checkpoints: Checkpoints | None, refusals: Path | None) -> None:
        self.checkpoint = checkpoint
        self._checkpoints = checkpoints
        self._stack = ExitStack()
        self._refusals = None if refusals is None else self._stack.enter_context(self._open(refusals))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def sending(self, title: str, ndjson: BufferedReader, stream: Stream | None) -> Sending:
        """What is left of `ndjson` to send."""
        seekable = ndjson.seekable()
        total = ndjson.seek(0, 2) if seekable else None
        ndjson.seek(0) if seekable else None
        lines = read_lines(chunks_of(ndjson, self.checkpoint.position.offset), self.checkpoint.position)
        return Sending(
            course=Course(title, total, ndjson.tell if seekable else lambda: 0),
            waves=waves(addressed_lines(lines, stream), WaveSize()),
            tally=self.checkpoint.tally,
            done=self._done,
            pace=Pace.unlimited(),
        )

    def forget(self) -> None:
        """The file is through: the next time it begins anew."""
        if self._checkpoints is not None:
            self._checkpoints.discard()

    def _done(self, wave: Wave, refused: list[Refusal]) -> None:
        if self._refusals is not None:
            self._refusals.write(refused)
            self.checkpoint.refusals_bytes = self._refusals.size
        self.checkpoint.position = wave.end
        if self._checkpoints is not None:
            self._checkpoints.save(self.checkpoint)

    def _open(self, path: Path) -> RefusalsFile:
        """Go on behind what the checkpoint vouches for; another file than last time begins empty."""
        name = str(path.absolute())
        keep = self.checkpoint.refusals_bytes if self.checkpoint.refusals == name else 0
        self.checkpoint.refusals = name
        return RefusalsFile(path, keep)
