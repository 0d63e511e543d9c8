"""Deliveries as they are stored: one for each alert and destination, and one for each other message that is sent.

`notifier` writes them, `query-api` lists them and may call for one anew. An open delivery has a `due_at`.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from common.alerts import Severity
from common.contracts import Stream

MAX_ATTEMPTS_KEPT: Final = 20


class DeliveryKind(StrEnum):
    ALERT = "alert"
    DIGEST = "digest"  # several alerts in one message
    TEST = "test"  # called for by hand, to try a destination
    NOTICE = "notice"  # tells that another destination was given up


class DeliveryState(StrEnum):
    NEW = "new"  # nothing is decided yet
    HELD = "held"  # waits for its digest
    PENDING = "pending"  # will be tried at `due_at`
    DIGESTED = "digested"  # is part of the digest `message`, which has not arrived yet
    DELIVERED = "delivered"
    FAILED = "failed"  # given up; may be called for anew
    SILENCED = "silenced"
    COOLED = "cooled"  # another alert of its rule left less than its cooldown ago
    TOO_OLD = "too_old"  # its record was older than notify_within
    ERASED = "erased"  # its record's id was erased before it left


OPEN: Final = frozenset({DeliveryState.NEW, DeliveryState.HELD, DeliveryState.PENDING})


class Attempt(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One try to deliver."""

    at: int  # ms since the epoch
    latency_ms: int
    status: int | None = None  # of the HTTP answer, if one came
    error: str | None = None  # None: it arrived
    response: str | None = None  # the beginning of what was answered


class Delivery(msgspec.Struct, kw_only=True):
    """The document of a delivery."""

    id: str = msgspec.field(name="_id")  # also the `webhook-id`
    kind: DeliveryKind
    destination: str
    state: DeliveryState
    created_at: int  # ms since the epoch, int64
    due_at: int | None = None  # ms since the epoch, int64; only while it is open
    # What is asked before it leaves.
    alert: str | None = None
    rule: str = ""
    severity: Severity = Severity.INFO
    stream: Stream | None = None
    a_id: str | None = None
    cooldown_seconds: int = 0
    group_seconds: int = 0
    size: int = 0  # bytes that its alert takes in a message, about
    # What came of it.
    left_at: int | None = None  # ms since the epoch: when it was first let go
    window_until: int | None = None  # ms since the epoch: until when others of its rule wait for a digest
    message: str | None = None  # the digest that it is part of
    was_part_of: str | None = None  # the same, though it was called for by itself since
    members: tuple[str, ...] = ()  # the alerts that a digest is made of
    part: int = 1  # of a digest that is too large for one message
    parts: int = 1
    total: int = 1  # alerts in all of its parts
    attempts: tuple[Attempt, ...] = ()  # the last ones
    answers_erased: bool = False  # it told of a record that was erased: what receivers answer is not kept
    tries: int = 0  # since it was last called for
    missed_since: int | None = None  # ms since the epoch: from when on its alert was looked for in vain
    parts_done: int = 0  # of a message that had to be split
    delivered_at: int | None = None  # ms since the epoch
    detail: str | None = None  # why it is in its state
    text: str | None = None  # of a notice
    # Who is at it.
    claimed_by: str | None = None
    claimed_until: int = 0  # ms since the epoch
    expires: datetime | None = None


class DestinationHealth(msgspec.Struct, kw_only=True):
    """The document of how a destination does. It holds for one version: written anew, a destination begins anew."""

    id: str = msgspec.field(name="_id")  # the destination's name
    version: int
    failing_since: int | None = None  # ms since the epoch: the first failure after the last success
    failures: int = 0  # since the last success
    last_error: str | None = None
    disabled_at: int | None = None  # ms since the epoch
    paused_until: int = 0  # ms since the epoch: what the receiver asked for
    changed_at: int  # ms since the epoch


def delivery_id(alert: str, destination: str) -> str:
    """The id of the delivery of an alert to a destination: an alert's id has a fixed length."""
    return f"{alert}-{destination}"
