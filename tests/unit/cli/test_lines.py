"""Lines out of files, however they are stored, and out of pipes."""

import gzip
import os
from pathlib import Path

import pytest
import zstandard

from twinstream.errors import CliError
from twinstream.sending.lines import MAX_LINE_BYTES, START, Position, RawLine, chunks_of, read_lines

TEXT = b'{"a":1}\n\n  \n{"b":2}\r\n{"c":3}'
LINES = [
    RawLine(Position(1, 8), b'{"a":1}'),
    RawLine(Position(4, 21), b'{"b":2}'),
    RawLine(Position(5, 28), b'{"c":3}'),
]
PACKINGS = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "gzip of two members": lambda data: gzip.compress(data[:10]) + gzip.compress(data[10:]),
    "zstd": zstandard.compress,
    "zstd of two frames": lambda data: zstandard.compress(data[:10]) + zstandard.compress(data[10:]),
}


def read(path: Path, start: Position = START) -> list[RawLine | None]:
    with path.open("rb") as file:
        return list(read_lines(chunks_of(file, start.offset), start))


@pytest.mark.parametrize("packing", PACKINGS)
def test_lines_are_numbered_as_an_editor_numbers_them(packing: str, tmp_path: Path) -> None:
    """Blank lines are left out and counted; the last line needs no newline; compression is told by the content."""
    path = tmp_path / "file"
    path.write_bytes(PACKINGS[packing](TEXT))
    assert read(path) == LINES


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("behind", [0, 1])
def test_reading_goes_on_behind_any_line(packing: str, behind: int, tmp_path: Path) -> None:
    """A position is of the decompressed data, so it serves compressed files too."""
    path = tmp_path / "file"
    path.write_bytes(PACKINGS[packing](TEXT))
    assert read(path, LINES[behind].end) == LINES[behind + 1 :]


@pytest.mark.parametrize("size", range(1, len(TEXT) + 1))
def test_lines_do_not_depend_on_where_chunks_end(size: int) -> None:
    """A chunk may end anywhere, within a line or at its end."""
    chunks = [TEXT[at : at + size] for at in range(0, len(TEXT), size)]
    assert list(read_lines(chunks)) == LINES


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    """Editors of some systems put one there."""
    assert [line and line.raw for line in read_lines([b"\xef\xbb\xbf{}\n\xef\xbb\xbf{}"])] == [b"{}", b"\xef\xbb\xbf{}"]


def test_a_line_that_is_too_long_is_told_of_without_being_kept() -> None:
    """Its end is known, so that the lines behind it keep their numbers and positions."""
    piece = b"x" * (1024 * 1024)
    count = MAX_LINE_BYTES // len(piece) + 3
    lines = list(read_lines([b"{}\n", *[piece] * count, b"\n{}\n"]))
    long_end = 3 + count * len(piece) + 1
    assert lines == [
        RawLine(Position(1, 3), b"{}"),
        RawLine(Position(2, long_end), None),
        RawLine(Position(3, long_end + 3), b"{}"),
    ]


def test_a_line_that_is_too_long_may_be_the_last() -> None:
    """Even without a newline it is told of."""
    size = MAX_LINE_BYTES + 1
    assert list(read_lines([b"x" * size])) == [RawLine(Position(1, size), None)]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_file_cut_short_gives_what_stands_before_and_says_so(pack, tmp_path: Path) -> None:
    """Nothing that could be read is lost."""
    path = tmp_path / "file"
    lines = b"".join(b'{"unique_identifier":"%d-%s"}\n' % (n, os.urandom(8).hex().encode()) for n in range(50_000))
    path.write_bytes(pack(lines)[:-400])
    seen: list[RawLine | None] = []
    with path.open("rb") as file, pytest.raises(CliError, match="damaged"):
        seen.extend(read_lines(chunks_of(file)))  # keeps what came before the error
    assert len(seen) > 1_000


def test_a_pipe_gives_its_lines_before_it_ends() -> None:
    """A line that has come is given, and silence is told, while the writer is still there."""
    readable, writable = os.pipe()
    os.write(writable, b'{"a":1}\n{"b"')
    with os.fdopen(readable, "rb") as file:
        lines = read_lines(chunks_of(file))
        assert next(lines) == RawLine(Position(1, 8), b'{"a":1}')
        assert next(lines) is None
        os.write(writable, b":2}\n")
        os.close(writable)
        assert [line for line in lines if line] == [RawLine(Position(2, 16), b'{"b":2}')]
