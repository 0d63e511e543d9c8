"""Walks through alerts and deliveries, newest first: what is asked for, and how a page goes on. Pure."""

from typing import Any, Literal, NamedTuple

from query_api.walks import Place


class AlertWalk(NamedTuple):
    """A walk through alerts; a cursor belongs to one."""

    rule: str | None = None
    severity: str | None = None
    stream: str | None = None
    a_id: str | None = None
    state: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    list_: Literal["alerts"] = "alerts"


class DeliveryWalk(NamedTuple):
    """A walk through deliveries; a cursor belongs to one."""

    destination: str | None = None
    state: str | None = None
    kind: str | None = None
    rule: str | None = None
    alert: str | None = None
    message: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    list_: Literal["deliveries"] = "deliveries"


_NO_FIELDS = {"since_ms", "until_ms", "list_"}


def queries(walk: AlertWalk | DeliveryWalk, time: str, after: Place | None) -> list[dict[str, Any]]:
    """What to ask one after the other, as `store` does for the B of an A, and for its reasons; `time` orders them."""
    of = {name: value for name, value in walk._asdict().items() if name not in _NO_FIELDS and value is not None}
    since = {} if walk.since_ms is None else {"$gt": walk.since_ms - 1}
    until = {} if walk.until_ms is None else {"$lt": walk.until_ms}
    if after is None:
        return [of | ({time: since | until} if since or until else {})]
    return [of | {time: after.event_time, "_id": {"$gt": after.id}}, of | {time: since | {"$lt": after.event_time}}]
