"""NDJSON line by line: plain, gzip or zstd, told by the first bytes; from any line on; from a file or a live pipe."""

import gzip
import io
import select
import zlib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import zstandard

from twinstream.errors import CliError

MAX_LINE_BYTES: Final = 16 * 1024 * 1024  # no request may be larger, so no line that is can be accepted
_CHUNK: Final = 256 * 1024
_ZSTD_CHUNK: Final = 16 * 1024  # compressed, and often a tenth of what comes out of it
_IDLE_S: Final = 0.5
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_BOM: Final = b"\xef\xbb\xbf"


class Position(NamedTuple):
    """After so many lines, which end after so many bytes once decompressed."""

    line: int = 0
    offset: int = 0


START: Final = Position()


class RawLine(NamedTuple):
    """A line without its end; `raw` is None for one longer than `MAX_LINE_BYTES`."""

    end: Position
    raw: bytes | None


def chunks_of(file: io.BufferedReader, start: int = 0) -> Iterator[bytes | None]:
    """What `file` holds from byte `start` on, decompressed; None whenever a pipe has been silent for half a second.

    Raises:
        CliError: compressed data are damaged or cut short; what came before has been given.
    """
    head = file.peek(len(_ZSTD))
    if head.startswith(_GZIP):
        return _behind(start, _gunzipped(file))
    if head.startswith(_ZSTD):
        return _behind(start, _unzstd(file))
    if file.seekable():
        file.seek(start)
        return _plain(file)
    return _live(file)


def read_lines(chunks: Iterable[bytes | None], start: Position = START) -> Iterator[RawLine | None]:
    """The lines that are not blank, counted on from `start`; None where the source is silent for a while."""
    line, offset = start
    for piece in _split(chunks):
        if piece is None:
            yield None
            continue
        line, offset = line + 1, offset + piece.size
        raw = piece.raw.removeprefix(_BOM if line == 1 else b"").strip()
        if piece.too_long:
            yield RawLine(Position(line, offset), None)
        elif raw:
            yield RawLine(Position(line, offset), raw)


class _Piece(NamedTuple):
    raw: bytes
    size: int  # with the newline
    too_long: bool


def _split(chunks: Iterable[bytes | None]) -> Iterator[_Piece | None]:
    """Cut `chunks` at newlines; of a line that is too long only its length is kept."""
    rest, lost = b"", 0
    for chunk in chunks:
        if chunk is None:
            yield None
            continue
        pieces = (rest + chunk).split(b"\n")
        rest = pieces.pop()
        for raw in pieces:
            yield _Piece(raw, lost + len(raw) + 1, lost > 0 or len(raw) > MAX_LINE_BYTES)
            lost = 0
        if len(rest) > MAX_LINE_BYTES:
            rest, lost = b"", lost + len(rest)
    if rest or lost:
        yield _Piece(rest, lost + len(rest), lost > 0)


def _plain(file: io.BufferedReader) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _live(file: io.BufferedReader) -> Iterator[bytes | None]:
    """What a pipe gives, as it comes: lines must not wait in here for a wave to fill."""
    if started := file.peek():
        yield file.read1(len(started))
    while True:
        if not select.select([file], [], [], _IDLE_S)[0]:
            yield None
        elif chunk := file.read1(_CHUNK):
            yield chunk
        else:
            return


def _gunzipped(file: io.BufferedReader) -> Iterator[bytes]:
    try:
        with gzip.open(file) as content:
            while chunk := content.read1(_CHUNK):  # read would lose what stands before the damage
                yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(error) from error


def _unzstd(file: io.BufferedReader) -> Iterator[bytes]:
    """The library's own reader takes a frame that is cut short for its end."""
    decompressor = zstandard.ZstdDecompressor()
    frame, whole = decompressor.decompressobj(), True
    try:
        while data := file.read(_ZSTD_CHUNK):
            while data:
                yield frame.decompress(data)
                whole, data = frame.eof, frame.unused_data
                if whole:
                    frame = decompressor.decompressobj()
    except zstandard.ZstdError as error:
        raise _damaged(error) from error
    if not whole:
        raise _damaged("It ends within a frame.")


def _behind(start: int, chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        if start < len(chunk):
            yield chunk[start:]
        start = max(0, start - len(chunk))


def _damaged(why: object) -> CliError:
    return CliError("The compressed file is damaged", f"What stands before the damage was sent. {why}")
