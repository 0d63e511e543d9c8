"""The rules of a record's fields: what is taken, how it is kept, and what is said of what breaks them. Pure."""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from common.contracts import MAX_AHEAD_MS, MAX_ID_CHARACTERS, MAX_INTEGER, MAX_TEXT_BYTES, MIN_EVENT_TIME_MS

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # Unicode's category Cc
_MAX_BYTES_PER_CHARACTER: Final = 4
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


class Broken(Exception):  # noqa: N818  # an answer of the rules below, not a failure
    """A rule that a value breaks; `what` goes on from the field's name: "is empty"."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(code, what)
        self.code = code
        self.what = what


def identifier(value: str | int) -> str:
    """An id as it is kept: an integer becomes its decimal string."""
    text = value if isinstance(value, str) else str(value)
    if not text:
        raise Broken("invalid_id", f"is empty: an id has 1 to {MAX_ID_CHARACTERS} characters")
    if len(text) > MAX_ID_CHARACTERS:
        raise Broken("invalid_id", f"has {len(text):,} characters: an id has at most {MAX_ID_CHARACTERS}")
    control = _CONTROL.search(text)
    if control:
        raise Broken(
            "invalid_id",
            f"has the control character U+{ord(control[0]):04X} as its character {control.start() + 1}: an id has none",
        )
    return text


def double(value: float) -> float:
    """A number as it is kept; an integer only where the double is the same number."""
    if isinstance(value, int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise Broken(
                "invalid_number",
                "is an integer beyond ±2^53, which a double would change: "
                "write it with a decimal point or an exponent where the nearest double will do",
            )
        return float(value)
    if not math.isfinite(value):
        raise Broken("invalid_number", "is beyond the range of a double, which ends near ±1.8e308")
    return value


def bounded_text(value: str) -> str:
    """A text as it is kept."""
    if len(value) * _MAX_BYTES_PER_CHARACTER > MAX_TEXT_BYTES:
        size = len(value.encode())
        if size > MAX_TEXT_BYTES:
            raise Broken("text_too_long", f"has {size:,} bytes of UTF-8: a text has at most {MAX_TEXT_BYTES:,}")
    return value


def epoch_ms(value: datetime | int | None, now_ms: int) -> int:
    """An event time as it is kept, in whole milliseconds; now where the sender gives none."""
    if value is None:
        return now_ms
    if isinstance(value, int):
        ms = value
    elif value.tzinfo is None:
        raise Broken("invalid_event_time", 'has no offset from UTC: end it in "Z" or in one such as "+02:00"')
    else:
        ms = (value - _EPOCH) // _MS
    if ms < MIN_EVENT_TIME_MS:
        raise Broken("event_time_out_of_range", f"is {_instant(ms)}, before the year 2000{_other_unit(ms, now_ms)}")
    if ms > now_ms + MAX_AHEAD_MS:
        raise Broken(
            "event_time_out_of_range",
            f"is {_instant(ms)}, more than five minutes ahead of now, {_instant(now_ms)}{_other_unit(ms, now_ms)}",
        )
    return ms


def _instant(ms: int) -> str:
    try:
        return f"{_EPOCH + ms * _MS:%Y-%m-%dT%H:%M:%SZ}"
    except OverflowError:
        return "outside the calendar"


def _other_unit(ms: int, now_ms: int) -> str:
    """A hint, where the number would fit in another unit."""
    in_ms = {"seconds": ms * 1_000, "microseconds": ms // 1_000, "nanoseconds": ms // 1_000_000}
    fits = (unit for unit, value in in_ms.items() if MIN_EVENT_TIME_MS <= value <= now_ms + MAX_AHEAD_MS)
    return next((f": it looks like {unit}, but milliseconds are taken" for unit in fits), "")


class Rule(NamedTuple):
    """What a field takes, and the codes of what it does not."""

    check: Callable[[Any, int], object]  # (value, now in ms); raises Broken
    wanted: str
    code: str  # for a string that is not valid Unicode
    unreadable: str = "wrong_type"  # for a string of another form


_ID: Final = Rule(lambda value, _: identifier(value), "a string or an integer", "invalid_id")

RULES: Final[Mapping[str, Rule]] = {
    "id": _ID,
    "a_id": _ID,
    "number": Rule(lambda value, _: double(value), "a number", "invalid_number"),
    "text": Rule(lambda value, _: bounded_text(value), "a string", "invalid_text"),
    "event_time": Rule(
        epoch_ms,
        "RFC 3339 with an offset from UTC, or an integer of epoch milliseconds",
        "invalid_event_time",
        unreadable="invalid_event_time",
    ),
}
