"""When a failed call is made again."""

from datetime import UTC, datetime

import pytest

from twinstream.retries import RetryPolicy, retry_after_s

NOW = datetime(2026, 11, 23, 8, 0, 0, tzinfo=UTC)
POLICY = RetryPolicy(patience_s=60, first_wait_s=1, longest_wait_s=10)


@pytest.mark.parametrize(("failures", "longest"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (6, 10), (5_000, 10)])
def test_waits_double_up_to_the_longest(failures: int, longest: float) -> None:
    """The dice take off up to half of it, so that many clients do not come back at once."""
    assert POLICY.wait_s(failures, None, dice=1.0) == longest
    assert POLICY.wait_s(failures, None, dice=0.0) == longest / 2


def test_what_the_server_asks_for_is_the_least() -> None:
    """A longer back-off of ours stays."""
    assert POLICY.wait_s(1, 30.0, dice=0.0) == 30
    assert POLICY.wait_s(5, 1.0, dice=1.0) == 10


def test_patience_counts_the_wait_that_lies_ahead() -> None:
    """Nobody waits for an attempt that will not be made."""
    assert POLICY.allows(50, 10)
    assert not POLICY.allows(50, 10.1)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Mon, 23 Nov 2026 08:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 07:00:00 GMT", 0.0),
        ("Mon, 23 Nov 2026 08:00:30 -0000", 30.0),
        ("soon", None),
        ("-3", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    """What is neither is as good as none."""
    assert retry_after_s(header, NOW) == seconds
