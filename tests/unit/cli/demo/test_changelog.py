"""Entries out of Debian changelogs."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from twinstream.demo.changelog import decoded, entries

NEWER = b"""\
bash (5.2.15-2) unstable; urgency=medium

  * Fix a crash when
    reading input. Closes: #1.

  [ Someone Else ]
  * Bump.

 -- Matthias Klose <doko@debian.org>  Sat, 07 Jan 2023 12:37:04 +0100
"""
OLDER = b"""\
bash (2.01-1) frozen unstable; urgency=low, closes="1 2"

  * New upstream version.

 -- Guy Maor <maor@debian.org>  Tue, 5 Aug 1997 10:00:00 -0500
"""
BERLIN = timezone(timedelta(hours=1))


def split(text: bytes) -> list[bytes]:
    return text.splitlines(keepends=True)


def test_entries_are_given_with_version_date_and_text() -> None:
    """The text is the whole entry, from its heading to its trailer."""
    newer, older = entries(split(NEWER + b"\n" + OLDER))
    assert (newer.version, newer.date) == ("5.2.15-2", datetime(2023, 1, 7, 12, 37, 4, tzinfo=BERLIN))
    assert newer.text == NEWER.decode().rstrip("\n")
    assert (older.version, older.text.count("\n")) == ("2.01-1", 4)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"Version 5.2\n===========\n\n* Fixed things.\n",
        b"2023-01-07  Someone  <s@example.org>\n\n\t* src/x.c (main): Call it.\n",
        b"bash (5.2)\n  * No distribution.\n -- A <a@b>  Sat, 07 Jan 2023 12:37:04 +0100\n",
        b"bash 5.2 unstable; urgency=low\n -- A <a@b>  Sat, 07 Jan 2023 12:37:04 +0100\n",
        b" -- A <a@b>  Sat, 07 Jan 2023 12:37:04 +0100\n",
        b"bash (5.2) unstable; urgency=low\n  * No trailer.\n",
        b"bash (5.2) unstable; urgency=low\n  * x\n -- A <a@b>  sometime in May\n",
        b"bash (5.2) unstable; urgency=low\n  * x\n -- A <a@b>  Sat, 37 Jan 2023 12:37:04 +0100\n",
        b"bash (5.2) unstable; urgency=low\n  * x\n -- A <a@b>\n",
        b"bash (5.2) unstable; urgency=low\n  * x\n --\n",
        bytes(range(256)) * 10,
    ],
)
def test_what_is_no_entry_is_passed_over(text: bytes) -> None:
    """Other formats, entries without an end, dates that are none: the entries around it are found."""
    assert list(entries(split(text))) == []
    assert [entry.version for entry in entries(split(NEWER + b"\n" + text + b"\n" + OLDER))] == ["5.2.15-2", "2.01-1"]


def test_old_lines_are_latin_1() -> None:
    """Line by line: newer entries of the same file are UTF-8."""
    assert decoded("Größe".encode()) == "Größe"
    assert decoded("Größe".encode("latin-1")) == "Größe"
    mixed = NEWER.replace(b"Bump.", "Ä".encode()) + OLDER.replace(b"New upstream", "Ä".encode("latin-1"))
    assert ["Ä" in entry.text for entry in entries(split(mixed))] == [True, True]


def test_a_date_without_a_zone_is_utc() -> None:
    """So that all dates can be compared."""
    (entry,) = entries(split(OLDER.replace(b" -0500", b"")))
    assert entry.date == datetime(1997, 8, 5, 10, tzinfo=UTC)
