"""Which files are read for which offsets."""

import pytest

from twinstream_lake.stretches import Piece, Stretch, next_stretch

PIECES = [Piece("late", 40, 59), Piece("early", 0, 9), Piece("middle", 10, 19), Piece("across", 5, 45)]


@pytest.mark.parametrize(
    ("at", "end", "expected"),
    [
        (0, 100, Stretch(0, 15, ["early", "middle", "across"])),
        (0, 4, Stretch(0, 4, ["early"])),
        (15, 100, Stretch(15, 30, ["middle", "across"])),
        (46, 100, Stretch(46, 61, ["late"])),
        (60, 100, None),
        (0, 0, None),
        (7, 7, None),
    ],
)
def test_a_stretch_names_the_files_that_may_have_it(at, end, expected) -> None:
    """No others are opened, and behind the last nothing is."""
    assert next_stretch(PIECES, at, end, 15) == expected


def test_what_no_file_has_is_passed_over() -> None:
    """Compaction dropped it, or it never was a record."""
    assert next_stretch([Piece("x", 1_000, 1_010)], 0, 2_000, 15) == Stretch(1_000, 1_015, ["x"])
