"""This machine's Debian packages as A, the entries of their changelogs as B, read while they are streamed."""

import gzip
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from common.contracts import DAY_MS, MAX_TEXT_BYTES, IncomingA, IncomingB
from twinstream.demo.changelog import Entry, entries
from twinstream.demo.dpkg import Package, installed
from twinstream.demo.source import Source

STATUS: Final = Path("/var/lib/dpkg/status")
DOCUMENTS: Final = Path("/usr/share/doc")

_WEEK_MS: Final = 7 * DAY_MS
_FOUNDED: Final = datetime(1993, 8, 16, tzinfo=UTC)  # of Debian: no entry is older


def debian(now_ms: int, status: Path = STATUS, documents: Path = DOCUMENTS) -> Source | None:
    """Everything to stream from this machine; None where there are no Debian packages with changelogs."""
    packages = read_packages(status)
    if not any(changelogs_of(package.name, documents) for package in packages):
        return None
    passed = 0

    def records() -> Iterator[IncomingA]:
        nonlocal passed
        for package in packages:
            yield record_of_package(package)
        for package in packages:
            for entry in read_entries(package.name, documents):
                yield record_of_entry(package.name, entry, now_ms)
            passed += 1

    return Source(f"{len(packages):,} packages", len(packages), lambda: passed, records())


def record_of_package(package: Package) -> IncomingA:
    return IncomingA(id=package.name, number=package.size_kib, text=_clipped(package.description))


def record_of_entry(package: str, entry: Entry, now_ms: int) -> IncomingB:
    """An entry as B: its number is how many lines it has, its event time its date moved into the past week."""
    return IncomingB(
        id=f"{package}/{entry.version}",
        a_id=package,
        number=entry.text.count("\n") + 1,
        text=_clipped(entry.text),
        event_time=moved_into_past_week(entry.date, now_ms),
    )


def moved_into_past_week(date: datetime, now_ms: int) -> int:
    """Debian's whole history shrunk to the week before `now_ms`: what was older stays older."""
    founded_ms = _FOUNDED.timestamp() * 1000
    share = (date.timestamp() * 1000 - founded_ms) / (now_ms - founded_ms)
    return now_ms - _WEEK_MS + int(min(1.0, max(0.0, share)) * _WEEK_MS)


def read_packages(status: Path) -> list[Package]:
    try:
        with status.open(encoding="utf-8", errors="replace") as lines:
            return list(installed(lines))
    except OSError:  # not a Debian, or not ours to read
        return []


def read_entries(package: str, documents: Path) -> Iterator[Entry]:
    """The entries of a package's changelogs, each version once; a damaged file gives what stands before that."""
    seen: set[str] = set()
    for path in changelogs_of(package, documents):
        for entry in _readable(path):
            if entry.version not in seen:
                seen.add(entry.version)
                yield entry


def changelogs_of(package: str, documents: Path) -> list[Path]:
    return sorted((documents / package).glob("changelog*.gz"))


def _readable(path: Path) -> Iterator[Entry]:
    try:
        with gzip.open(path) as lines:
            yield from entries(lines)
    except (OSError, EOFError, zlib.error):
        return


def _clipped(text: str) -> str:
    """`text`, or as much of its start as ingest takes."""
    return text.encode()[:MAX_TEXT_BYTES].decode(errors="ignore")
