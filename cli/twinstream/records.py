"""Records as query-api answers them, as far as a person sees them."""

import msgspec


def grouped(number: float) -> str:
    """A number as people read it, none of its digits lost."""
    return f"{number:,}".removesuffix(".0")


class Stored(msgspec.Struct):
    """A record of either stream; `a_id` is None for one of A. Times are RFC 3339."""

    id: str = msgspec.field(name="unique_identifier")
    number: float
    text: str
    event_time: str
    ingested_at: str
    first_seen: str
    a_id: str | None = msgspec.field(name="Stream_A_unique_identifier", default=None)
