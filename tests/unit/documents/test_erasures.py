"""What an erasure is about: what was refused before it."""

import pytest

from documents.erasures import Erasure, PutAside, is_void

ERASURE = Erasure(through=7, at=10_000)


@pytest.mark.parametrize(
    ("source", "rejected_at", "expected"),
    [
        ("records.b/0/6", 99_000, True),  # a worker that lags refuses it long afterwards
        ("records.b/0/8", 9_000, False),  # sent behind the tombstone: a new beginning
        ("trace-span/0", 10_000, True),
        ("trace-span/8", 11_000, True),  # the clocks of two machines
        ("trace-span/6", 11_001, False),
        ("records.a/0/8", 10_000, True),  # no place of this stream's
        ("records.b/0/x", 10_000, True),
    ],
)
def test_the_place_in_the_log_decides_and_else_the_time(source: str, rejected_at: int, expected: bool) -> None:  # noqa: FBT001  # a row of the table
    """What ingest refused has no place there."""
    assert is_void(PutAside(source, "b", rejected_at), ERASURE) is expected
