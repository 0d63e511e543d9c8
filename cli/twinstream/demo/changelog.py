"""The entries of a Debian changelog. Pure: lines in, entries out.

The format: https://www.debian.org/doc/debian-policy/ch-source.html#debian-changelog-debian-changelog
"""

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

_HEADING: Final = re.compile(r"[a-z0-9][a-z0-9+.-]* \(([^()\s]+)\)(?:\s+[\w.+~-]+)+;", re.IGNORECASE)
_TRAILER: Final = re.compile(r" -- .*>\s+(\S.*)")


class Entry(NamedTuple):
    """A version's entry: its text from the heading to the trailer, which holds its date."""

    version: str
    date: datetime
    text: str


def entries(lines: Iterable[bytes]) -> Iterator[Entry]:
    """The entries among `lines`, newest first as they stand; what is no entry is passed over.

    So a changelog in another format has none, and an entry without an end, or without a date, is left out.
    """
    version: str | None = None
    text: list[str] = []
    for raw in lines:
        line = decoded(raw).rstrip()
        if heading := _HEADING.match(line):
            version, text = heading.group(1), [line]
        elif version is not None:
            text.append(line)
            if trailer := _TRAILER.match(line):
                date = _date(trailer.group(1))
                if date is not None:
                    yield Entry(version, date, "\n".join(text))
                version = None


def decoded(line: bytes) -> str:
    """A line as text: UTF-8, and Latin-1 where it is older than that."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
