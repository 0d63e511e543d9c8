"""Mute hours and silences at a moment. Pure."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from common.alerts import Severity
from common.destinations import MuteHours, Silence, Weekday
from delivery.hits import Hit

_WEEKDAYS: Final = tuple(Weekday)
_LONGEST: Final = timedelta(days=8)  # hours that cover a whole week never end


def known_zone(name: str) -> bool:
    """Whether `name` is a time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of zones is an OSError
        return False
    return True


def muted_until(mute: Sequence[MuteHours], severity: Severity, at_ms: int) -> int | None:
    """Until when, in ms since the epoch, nothing of `severity` leaves; None where it may."""
    applying = [hours for hours in mute if severity not in hours.let_through]
    began = until = datetime.fromtimestamp(at_ms / 1000, UTC)
    while until - began < _LONGEST:
        ends = [end for hours in applying if (end := _end_of(hours, until)) is not None]
        if not ends:
            break
        until = max(ends)
    return None if until == began else round(until.timestamp() * 1000)


def silenced_by(silences: Iterable[Silence], hit: Hit, destination: str) -> Silence | None:
    """The silence that holds for `hit`, if one does."""
    return next((silence for silence in silences if _holds(silence, hit, destination)), None)


def _holds(silence: Silence, hit: Hit, destination: str) -> bool:
    asked = (
        (silence.rule, hit.rule),
        (silence.severity, hit.severity),
        (silence.destination, destination),
        (silence.stream, hit.stream),
        (silence.a_id, hit.a_id),
    )
    return silence.starts_at <= hit.at < silence.ends_at and all(wanted in {None, is_} for wanted, is_ in asked)


def _end_of(hours: MuteHours, moment: datetime) -> datetime | None:
    """When the span of `hours` that `moment` lies in ends, in UTC; it began today or yesterday."""
    zone = ZoneInfo(hours.zone)
    today = moment.astimezone(zone).date()
    for day in (today, today - timedelta(days=1)):
        if _WEEKDAYS[day.weekday()] not in hours.days:
            continue
        clocks = (hours.start, hours.end)
        start, end = (datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=zone) for clock in clocks)
        if end <= start:
            end += timedelta(days=1)  # of the wall clock: the hour that it shows, whatever the night did to it
        if start.astimezone(UTC) <= moment < end.astimezone(UTC):
            return end.astimezone(UTC)
    return None
