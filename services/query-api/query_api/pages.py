"""What every list takes: how many of its items, from when on, until when, and where the page before ended."""

from typing import Annotated, Any, Final

from fastapi import Query

from query_api.documentation import choices
from query_api.examples import CURSOR

MAX_LIMIT: Final = 1000

Cursor = Annotated[
    str | None,
    Query(
        description="`next_cursor` of the page before, to read on from there: with the same other parameters.",
        openapi_examples=choices(the_next_page=CURSOR),
    ),
]


def per_page(items: str) -> Any:
    """How many `items` a page has at the most."""
    return Query(ge=1, le=MAX_LIMIT, description=f"{items} per page.", openapi_examples=choices(the_default=100))


def at_or_after(happened: str) -> Any:
    """Since when what is listed has `happened`."""
    return Query(
        description=f"Only what was {happened} at or after it: RFC 3339 with an offset, or epoch milliseconds.",
        openapi_examples=choices(from_a_moment_on="2026-11-23T08:00:00Z"),
    )


def before(happened: str) -> Any:
    """Until when what is listed has `happened`."""
    return Query(
        description=f"Only what was {happened} before it: RFC 3339 with an offset, or epoch milliseconds.",
        openapi_examples=choices(up_to_a_moment="2026-11-24T08:00:00Z"),
    )
