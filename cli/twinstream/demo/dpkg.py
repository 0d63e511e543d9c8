"""The packages that are installed here, out of dpkg's own list. Pure: lines in, packages out.

The format: https://manpages.debian.org/deb822, https://manpages.debian.org/dpkg-query
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Package(NamedTuple):
    """An installed package; `size_kib` as dpkg estimates it."""

    name: str
    size_kib: int
    description: str


def installed(lines: Iterable[str]) -> Iterator[Package]:
    """The installed ones among the stanzas of a status file, each name once; what makes no sense is passed over.

    A name may be installed for several architectures; they share their changelogs, so the first speaks for all.
    """
    seen: set[str] = set()
    for stanza in _stanzas(lines):
        name = stanza.get("package", "").strip()
        if name and name not in seen and stanza.get("status", "").split()[-1:] == ["installed"]:
            seen.add(name)
            size = stanza.get("installed-size", "").strip()
            yield Package(name, int(size) if size.isdecimal() else 0, _text(stanza.get("description", "")))


def _stanzas(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    stanza: dict[str, str] = {}
    field = ""
    for line in (line.rstrip() for line in lines):
        if not line:
            if stanza:
                yield stanza
            stanza, field = {}, ""
        elif line[0] in " \t":
            if field:
                stanza[field] += "\n" + line
        else:
            field, colon, value = line.partition(":")
            field = field.lower() if colon else ""
            if field:
                stanza[field] = value
    if stanza:
        yield stanza


def _text(description: str) -> str:
    """A description as it reads: its first line is a summary, a line with a dot alone is empty."""
    lines = (line.strip() for line in description.strip().splitlines())
    return "\n".join("" if line == "." else line for line in lines)
