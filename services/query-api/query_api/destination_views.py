"""Destinations and silences as they are written and answered. OpenAPI's schemas come from here too.

What is secret goes in and never comes out, but for a signing secret that was made here: it is shown once.
"""

from enum import StrEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from common.alerts import Severity
from common.contracts import Stream
from common.deliveries import DestinationHealth
from common.destinations import (
    NAME_PATTERN,
    Destination,
    DestinationKind,
    LimitPerHour,
    MuteHours,
    Silence,
)
from common.instants import rfc3339_ms
from query_api.alert_views import MaybeMoment, Moment, maybe_moment


class State(StrEnum):
    """How a destination does."""

    OK = "ok"
    FAILING = "failing"
    GIVEN_UP = "given_up"  # nothing is sent until it is written anew
    DISABLED = "disabled"  # by hand
    UNKNOWN = "unknown"  # MongoDB cannot be asked


class SilenceState(StrEnum):
    FUTURE = "future"
    ACTIVE = "active"
    EXPIRED = "expired"


Name = Annotated[
    str,
    Meta(
        description="Lower-case letters, digits, - and _; begins with a letter.", pattern=NAME_PATTERN, examples=["ops"]
    ),
]
Url = Annotated[
    str | None,
    Meta(
        description="Where a webhook's messages are posted to, by https; a Slack incoming webhook's URL, which is kept "
        "as a secret."
    ),
]
Secret = Annotated[
    str | None,
    Meta(
        description="A webhook's signing secret, as Standard Webhooks writes it: whsec_ and 24 to 64 bytes in base64. "
        "Absent, one is made and shown this once."
    ),
]
Token = Annotated[str | None, Meta(description="A Slack app's bot token, xoxb-…: see docs/slack.md.")]
Channel = (
    Annotated[
        str,
        Meta(
            description="A Slack channel: #name or its id, the same in all destinations that post to it.",
            min_length=1,
            max_length=100,
        ),
    ]
    | None
)
Limit = Annotated[
    LimitPerHour, Meta(description="Most messages an hour; what is beyond it leaves in one digest. 0: no limit.")
]
Mute = Annotated[
    tuple[MuteHours, ...],
    Meta(description="Hours in which it waits: one digest leaves at their end.", max_length=20),
]
Fallback = Annotated[
    str | None,
    Meta(description="The destination that is told when this one is given up; without it, the first other one."),
]


class DestinationChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a destination shall be from now on; a secret that is not given stays what it was."""

    url: Url = None
    secret: Secret = None
    token: Token = None
    channel: Channel = None
    enabled: Annotated[bool, Meta(description="Whether anything is sent; what is not, is kept as failed.")] = True
    limit_per_hour: Limit = 0
    mute: Mute = ()
    fallback: Fallback = None


class DestinationRequest(DestinationChange, kw_only=True, forbid_unknown_fields=True):
    """A destination to be made."""

    name: Name
    kind: DestinationKind


class Rotation(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A new signing secret for a webhook."""

    secret: Secret = None
    keep_former_hours: Annotated[
        float, Meta(description="For how long the former secret signs beside the new one.", ge=0, le=8760)
    ] = 24.0


class DestinationView(msgspec.Struct, kw_only=True):
    """A destination without its secrets, and how it does."""

    name: Name
    kind: DestinationKind
    url: Annotated[str | None, Meta(description="A webhook's.")]
    channel: Annotated[str | None, Meta(description="Of a Slack app; null for an incoming webhook.")]
    enabled: bool
    limit_per_hour: Limit
    mute: Mute
    fallback: Fallback
    signs_twice_until: Annotated[
        str | None, Meta(description="Until when two secrets sign.", extra_json_schema={"format": "date-time"})
    ]
    version: Annotated[int, Meta(description="Grows with each change.")]
    state: State
    failing_since: MaybeMoment
    failures: Annotated[int, Meta(description="Attempts that failed since one last succeeded.")]
    last_error: str | None
    given_up_at: MaybeMoment
    created_at: Moment
    changed_at: Moment


class NewDestination(DestinationView, kw_only=True):
    """A destination as it was made; `secret` only where it was made here."""

    secret: Annotated[str | None, Meta(description="The signing secret, this once; null where it was given.")]


class DestinationPage(msgspec.Struct, kw_only=True):
    """All destinations, by name."""

    items: list[DestinationView]
    next_cursor: None


class SilenceRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A silence to be made; what is not named, it holds for all of. `ends_at` or `minutes`, not both."""

    rule: str | None = None
    severity: Severity | None = None
    destination: str | None = None
    stream: Stream | None = None
    a_id: str | None = None
    starts_at: Annotated[str | None, Meta(description="RFC 3339; absent: now.", examples=["2026-11-23T20:00:00Z"])] = (
        None
    )
    ends_at: Annotated[str | None, Meta(description="RFC 3339.", examples=["2026-11-24T08:00:00Z"])] = None
    minutes: Annotated[float, Meta(description="How long it lasts.", gt=0, le=525_600)] | None = None
    comment: Annotated[str, Meta(description="Why, for others.", max_length=1000)] = ""


class SilenceView(msgspec.Struct, kw_only=True):
    """A silence."""

    id: str
    rule: str | None
    severity: Severity | None
    destination: str | None
    stream: Stream | None
    a_id: str | None
    starts_at: Moment
    ends_at: Moment
    state: SilenceState
    comment: str
    created_at: Moment


class SilencePage(msgspec.Struct, kw_only=True):
    """All silences, the last to end first."""

    items: list[SilenceView]
    next_cursor: None


SCHEMAS: Final = (
    DestinationRequest,
    DestinationChange,
    Rotation,
    DestinationView,
    NewDestination,
    DestinationPage,
    SilenceRequest,
    SilenceView,
    SilencePage,
)


def view_destination(
    destination: Destination, version: int, health: DestinationHealth | None, *, known: bool
) -> DestinationView:
    """A destination as it is answered; `known`: whether `health` could be asked for."""
    if health is None or health.version != version:
        health = DestinationHealth(id=destination.name, version=version, changed_at=0)
    return DestinationView(
        name=destination.name,
        kind=destination.kind,
        url=destination.url,
        channel=destination.channel,
        enabled=destination.enabled,
        limit_per_hour=destination.limit_per_hour,
        mute=destination.mute,
        fallback=destination.fallback,
        signs_twice_until=maybe_moment(destination.former_until),
        version=version,
        state=_state(destination, health) if known else State.UNKNOWN,
        failing_since=maybe_moment(health.failing_since),
        failures=health.failures,
        last_error=health.last_error,
        given_up_at=maybe_moment(health.disabled_at),
        created_at=rfc3339_ms(destination.created_at),
        changed_at=rfc3339_ms(destination.changed_at),
    )


def _state(destination: Destination, health: DestinationHealth) -> State:
    if not destination.enabled:
        return State.DISABLED
    if health.disabled_at is not None:
        return State.GIVEN_UP
    return State.FAILING if health.failing_since is not None else State.OK


def view_silence(silence: Silence, now_ms: int) -> SilenceView:
    """A silence as it is answered."""
    running = SilenceState.ACTIVE if now_ms >= silence.starts_at else SilenceState.FUTURE
    return SilenceView(
        id=silence.id,
        rule=silence.rule,
        severity=silence.severity,
        destination=silence.destination,
        stream=silence.stream,
        a_id=silence.a_id,
        starts_at=rfc3339_ms(silence.starts_at),
        ends_at=rfc3339_ms(silence.ends_at),
        state=SilenceState.EXPIRED if now_ms >= silence.ends_at else running,
        comment=silence.comment,
        created_at=rfc3339_ms(silence.created_at),
    )
