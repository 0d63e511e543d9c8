"""Where alerts go and when they do not: destinations and silences, as they stand in control."""

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from common.alerts import Severity
from common.contracts import Stream

MAX_NAME_CHARACTERS: Final = 64
NAME_PATTERN: Final = r"^[a-z][a-z0-9_-]{0,63}$"
CLOCK_PATTERN: Final = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"

LimitPerHour = Annotated[int, Meta(ge=0, le=100_000)]


class DestinationKind(StrEnum):
    WEBHOOK = "webhook"
    SLACK = "slack"


class Weekday(StrEnum):
    MONDAY = "mon"
    TUESDAY = "tue"
    WEDNESDAY = "wed"
    THURSDAY = "thu"
    FRIDAY = "fri"
    SATURDAY = "sat"
    SUNDAY = "sun"


class MuteHours(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Hours of the week in which a destination waits: what comes then leaves in one digest at their end.

    A span that ends at or before its beginning runs past midnight; `days` are those on which it begins.
    """

    start: Annotated[str, Meta(pattern=CLOCK_PATTERN, description="HH:MM in `zone`.", examples=["20:00"])]
    end: Annotated[str, Meta(pattern=CLOCK_PATTERN, description="HH:MM in `zone`.", examples=["07:30"])]
    days: tuple[Weekday, ...] = tuple(Weekday)
    zone: Annotated[str, Meta(description="A name of the IANA time zones.", examples=["Europe/Berlin"])] = "UTC"
    let_through: Annotated[tuple[Severity, ...], Meta(description="Severities that do not wait.")] = ()


class Destination(msgspec.Struct, kw_only=True, frozen=True):
    """A place that alerts are sent to; the offset that wrote it is its version.

    `secret` is sealed, see `common.sealing`: a webhook's signing secret; a Slack app's bot token where there is a
    `channel`, else the URL of an incoming webhook.
    """

    name: str
    kind: DestinationKind
    url: str | None = None  # a webhook's
    channel: str | None = None
    secret: str
    former_secret: str | None = None  # sealed; signs beside `secret` until `former_until`
    former_until: int | None = None  # ms since the epoch
    enabled: bool = True
    limit_per_hour: LimitPerHour = 0  # messages; 0: no limit
    mute: tuple[MuteHours, ...] = ()
    fallback: str | None = None  # the destination that is told when this one was given up
    created_at: int  # ms since the epoch
    changed_at: int  # ms since the epoch


class Silence(msgspec.Struct, kw_only=True, frozen=True):
    """A time in which alerts that fit it are kept but not sent; what it leaves open, it silences all of."""

    id: str
    rule: str | None = None
    severity: Severity | None = None
    destination: str | None = None
    stream: Stream | None = None
    a_id: str | None = None
    starts_at: int  # ms since the epoch
    ends_at: int  # ms since the epoch, not included
    comment: str = ""
    created_at: int  # ms since the epoch
