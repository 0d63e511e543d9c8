"""Moments as people and programs write them: RFC 3339 with an offset, or epoch milliseconds. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from common.contracts import MIN_EVENT_TIME_MS
from common.errors import Refused
from common.http.parameters import misfit

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_MAX_MS: Final = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the last that RFC 3339 can write


def parse_instant(raw: str, at: str) -> int:
    """Epoch milliseconds out of what a caller wrote.

    Fractions of a millisecond are rounded up, so that nothing older is let through.

    Args:
        raw: RFC 3339 with an offset, or epoch milliseconds.
        at: where it stood, such as "query.since".

    Raises:
        Refused: invalid_parameter.
    """
    instant_ms = int(raw) if raw.isdecimal() and raw.isascii() and len(raw) <= 15 else _from_rfc3339(raw, at)
    if not MIN_EVENT_TIME_MS <= instant_ms <= _MAX_MS:
        raise _misfit(at, "lies outside 2000 to 9999; an integer counts milliseconds since 1970, not seconds")
    return instant_ms


def _from_rfc3339(raw: str, at: str) -> int:
    try:
        moment = msgspec.convert(raw, datetime)
    except msgspec.ValidationError:
        hint = "; a + is sent as %2B" if " " in raw else ""
        raise _misfit(
            at, f"{raw[:64]!r} is neither RFC 3339, such as 2026-11-23T08:00:00Z, nor epoch milliseconds{hint}"
        ) from None
    if moment.tzinfo is None:
        raise _misfit(at, f"{raw[:64]!r} names no offset from UTC: append Z, or one such as %2B01:00")
    return -((_EPOCH - moment) // _MILLISECOND)


def _misfit(at: str, detail: str) -> Refused:
    return misfit(at, f"{at.rpartition('.')[2]} {detail}.")
