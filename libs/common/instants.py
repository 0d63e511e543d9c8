"""Moments as they are written in answers and messages: RFC 3339 in UTC. Pure."""

from datetime import datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  # UTC by meaning; an aware one costs more and prints +00:00


def rfc3339_ms(epoch_ms: int) -> str:
    """Milliseconds since the epoch as UTC with three digits after the second."""
    return _after_epoch(milliseconds=epoch_ms).isoformat(timespec="milliseconds") + "Z"


def rfc3339_us(epoch_us: int) -> str:
    """Microseconds since the epoch as UTC with six digits after the second."""
    return _after_epoch(microseconds=epoch_us).isoformat(timespec="microseconds") + "Z"


def _after_epoch(*, milliseconds: int = 0, microseconds: int = 0) -> datetime:
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds, microseconds=microseconds)
    except OverflowError:  # not from ingest; one such record must not make every page that holds it unreadable
        return datetime.max if milliseconds + microseconds > 0 else datetime.min  # noqa: DTZ901  # UTC by meaning
