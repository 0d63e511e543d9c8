"""Mute hours in their own time zone, silences by what they name."""

from datetime import datetime
from typing import Any

import pytest

from common.alerts import Severity
from common.contracts import Stream
from common.destinations import MuteHours, Silence, Weekday
from delivery.hits import Hit
from delivery.mute import known_zone, muted_until, silenced_by

NIGHT = MuteHours(start="20:00", end="07:30", zone="Europe/Berlin")
WEEKEND = MuteHours(start="00:00", end="00:00", days=(Weekday.SATURDAY, Weekday.SUNDAY), zone="America/New_York")


def ms(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


@pytest.mark.parametrize(
    ("hours", "at", "until"),
    [
        ([NIGHT], "2026-11-23T19:59:59+01:00", None),
        ([NIGHT], "2026-11-23T20:00:00+01:00", "2026-11-24T07:30:00+01:00"),
        ([NIGHT], "2026-11-24T07:29:59+01:00", "2026-11-24T07:30:00+01:00"),
        ([NIGHT], "2026-11-24T07:30:00+01:00", None),
        ([NIGHT], "2026-10-24T23:00:00+02:00", "2026-10-25T07:30:00+01:00"),  # the night that has an hour more
        ([NIGHT], "2026-03-28T23:00:00+01:00", "2026-03-29T07:30:00+02:00"),  # the night that has an hour less
        ([WEEKEND], "2026-11-20T23:59:59-05:00", None),
        ([WEEKEND], "2026-11-21T00:00:00-05:00", "2026-11-23T00:00:00-05:00"),  # one day runs into the next
        ([WEEKEND], "2026-11-22T12:00:00-05:00", "2026-11-23T00:00:00-05:00"),
        ([NIGHT, WEEKEND], "2026-11-22T21:00:00-05:00", "2026-11-23T07:30:00+01:00"),
        ([], "2026-11-22T21:00:00-05:00", None),
    ],
)
def test_mute_hours_end_by_the_clock_on_their_wall(hours: list[MuteHours], at: str, until: str | None) -> None:
    """Over midnight, over a change of the clocks, and from one span into the next."""
    assert muted_until(hours, Severity.INFO, ms(at)) == (None if until is None else ms(until))


def test_some_severities_are_let_through() -> None:
    """What is critical need not wait for the morning."""
    hours = [MuteHours(start="00:00", end="00:00", let_through=(Severity.CRITICAL,))]
    assert muted_until(hours, Severity.CRITICAL, ms("2026-11-23T12:00:00Z")) is None
    assert muted_until(hours, Severity.WARNING, ms("2026-11-23T12:00:00Z")) is not None


def test_hours_that_never_end_are_looked_at_again() -> None:
    """A whole week of them ends the search, not the process."""
    until = muted_until([MuteHours(start="00:00", end="00:00")], Severity.INFO, ms("2026-11-23T12:00:00Z"))
    assert until == ms("2026-12-02T00:00:00Z")


@pytest.mark.parametrize(
    ("fields", "holds"),
    [
        ({}, True),
        ({"rule": "refunds"}, True),
        ({"rule": "other"}, False),
        ({"severity": Severity.WARNING, "destination": "ops", "a_id": "a-1", "stream": Stream.B}, True),
        ({"severity": Severity.CRITICAL}, False),
        ({"destination": "team"}, False),
        ({"a_id": "a-2"}, False),
        ({"starts_at": 101}, False),
        ({"ends_at": 100}, False),
    ],
)
def test_a_silence_holds_for_what_it_names(fields: dict[str, Any], holds: bool) -> None:  # noqa: FBT001
    """Within its time, and for everything that it leaves open."""
    silence = Silence(**{"id": "s", "starts_at": 100, "ends_at": 200, "created_at": 0, **fields})
    hit = Hit(100, "refunds", Severity.WARNING, Stream.B, "a-1")
    assert (silenced_by([silence], hit, "ops") is silence) is holds


@pytest.mark.parametrize(
    ("zone", "known"), [("UTC", True), ("Asia/Kolkata", True), ("Mars/Base", False), ("../etc", False), ("", False)]
)
def test_zones_are_known_by_their_names(zone: str, known: bool) -> None:  # noqa: FBT001
    """One that is not is refused when it is written, not when it is needed."""
    assert known_zone(zone) is known
