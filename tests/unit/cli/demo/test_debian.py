"""A Debian machine as a source of records."""

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.contracts import DAY_MS, MAX_TEXT_BYTES, IncomingA, IncomingB
from twinstream.demo.debian import debian, moved_into_past_week

NOW_MS = 1_795_420_800_000
ENTRY = """\
{package} ({version}) unstable; urgency=medium

  * {text}

 -- A <a@b>  {date}

"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with a list of packages `one`, `two` and `three`."""
    stanza = "Package: {}\nStatus: install ok installed\nInstalled-Size: 7\nDescription: the {}\n\n"
    (tmp_path / "status").write_text("".join(stanza.format(name, name) for name in ("one", "two", "three")))
    return tmp_path


def changelog(machine: Path, package: str, name: str, *versions: str, text: str = "Change.") -> Path:
    folder = machine / "doc" / package
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    content = "".join(
        ENTRY.format(package="source", version=version, text=text, date="Sat, 07 Jan 2023 12:37:04 +0100")
        for version in versions
    )
    path.write_bytes(gzip.compress(content.encode()))
    return path


def records(machine: Path) -> list[IncomingA]:
    source = debian(NOW_MS, machine / "status", machine / "doc")
    assert source is not None
    return list(source.records)


def test_packages_are_a_and_entries_are_their_b(machine: Path) -> None:
    """Named by package and version; an A leaves before all of its B."""
    changelog(machine, "one", "changelog.Debian.gz", "2.0", "1.0")
    changelog(machine, "three", "changelog.gz", "1:3.0-1")
    found = records(machine)
    assert [(record.id, record.number, record.text) for record in found[:3]] == [
        ("one", 7, "the one"),
        ("two", 7, "the two"),
        ("three", 7, "the three"),
    ]
    assert [(record.id, record.a_id, record.number) for record in found[3:] if isinstance(record, IncomingB)] == [
        ("one/2.0", "one", 5),
        ("one/1.0", "one", 5),
        ("three/1:3.0-1", "three", 5),
    ]


def test_an_entry_in_two_changelogs_of_a_package_is_one(machine: Path) -> None:
    """As those of some architectures repeat the common one."""
    changelog(machine, "one", "changelog.Debian.amd64.gz", "2.0+b1", "1.0")
    changelog(machine, "one", "changelog.Debian.gz", "1.0")
    assert [record.id for record in records(machine)[3:]] == ["one/2.0+b1", "one/1.0"]


def test_damaged_and_foreign_changelogs_cost_only_themselves(machine: Path) -> None:
    """Cut short, not compressed, not readable, in another format."""
    path = changelog(machine, "one", "changelog.gz", *(f"{n}.0" for n in range(2_000)))
    path.write_bytes(path.read_bytes()[:-20])
    (machine / "doc" / "two").mkdir()
    (machine / "doc" / "two" / "changelog.gz").write_bytes(b"plain text")
    (machine / "doc" / "two" / "changelog.Debian.gz").mkdir()
    changelog(machine, "three", "changelog.gz", "3.0")
    found = [record.id for record in records(machine)[3:]]
    assert found[-1] == "three/3.0"
    assert len(found) > 1_000


def test_a_text_is_cut_to_what_ingest_takes(machine: Path) -> None:
    """At the end of a character."""
    changelog(machine, "one", "changelog.gz", "1.0", text="漢" * MAX_TEXT_BYTES)
    text = records(machine)[3].text
    assert MAX_TEXT_BYTES - 3 < len(text.encode()) <= MAX_TEXT_BYTES
    assert text.endswith("漢")


def test_every_record_is_one_that_ingest_decodes(machine: Path) -> None:
    """By the same contract."""
    changelog(machine, "one", "changelog.gz", "1.0")
    for record in records(machine):
        assert msgspec.json.decode(msgspec.json.encode(record), type=type(record)) == record


def test_progress_is_counted_in_packages(machine: Path) -> None:
    """All are done when the last record is out."""
    changelog(machine, "one", "changelog.gz", "1.0")
    source = debian(NOW_MS, machine / "status", machine / "doc")
    assert (source.total, source.done()) == (3, 0)
    assert len(list(source.records)) == 4
    assert source.done() == 3


@pytest.mark.parametrize("status", ["missing", "status"])
def test_a_machine_without_packages_or_changelogs_has_nothing_to_stream(machine: Path, status: str) -> None:
    """As containers leave the documents out."""
    assert debian(NOW_MS, machine / status, machine / "doc") is None


DATES = st.datetimes(datetime(1980, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis adds the zone


@given(DATES, DATES)
def test_dates_keep_their_order_within_the_past_week(one: datetime, other: datetime) -> None:
    """Even those before Debian and those in the future, which wrong clocks have made."""
    moved = moved_into_past_week(one, NOW_MS), moved_into_past_week(other, NOW_MS)
    assert all(NOW_MS - 7 * DAY_MS <= moment <= NOW_MS for moment in moved)
    assert (moved[0] < moved[1]) <= (one < other)
    assert (moved[0] > moved[1]) <= (one > other)


def test_dates_hours_apart_stay_apart() -> None:
    """Thirty years in a week: an hour is two seconds."""
    date = datetime(2020, 1, 1, tzinfo=UTC)
    apart = moved_into_past_week(date + timedelta(hours=1), NOW_MS) - moved_into_past_week(date, NOW_MS)
    assert 1_500 < apart < 3_000
