"""Walking through a list page by page: in which order, from when on, and where a page ended. Pure."""

from enum import StrEnum
from typing import NamedTuple

from query_api.instants import parse_instant


class Order(StrEnum):
    """`time`: newest first, ties by id. `id`: by id, which no refresh of a record disturbs."""

    TIME = "time"
    ID = "id"


class Walk(NamedTuple):
    """What is walked through; a cursor belongs to one walk."""

    a_id: str
    order: Order
    since_ms: int | None = None


class RejectedWalk(NamedTuple):
    """A walk through the rejected records, newest first; a cursor belongs to one such walk, too."""

    stream: str | None
    code: str | None
    since_ms: int | None
    until_ms: int | None


class JobWalk(NamedTuple):
    """A walk through the queries in SQL that a key asked, newest first."""

    key_id: str


class Place(NamedTuple):
    """Where a page ended: the last record that it showed."""

    event_time: int  # of a rejected record, the moment of its rejection
    id: str


def parse_since(raw: str | None, name: str = "since") -> int | None:
    """Epoch milliseconds out of what a caller wrote in the parameter `name`, or None where nothing was.

    Raises:
        Refused: invalid_parameter.
    """
    return None if raw is None else parse_instant(raw, f"query.{name}")
