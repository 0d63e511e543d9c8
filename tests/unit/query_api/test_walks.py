"""`since` is read as people and programs write moments."""

import pytest

from common.errors import Refused
from query_api.walks import parse_since

EIGHT = 1_795_420_800_000  # 2026-11-23T08:00:00Z


@pytest.mark.parametrize(
    ("raw", "ms"),
    [
        (None, None),
        ("2026-11-23T08:00:00Z", EIGHT),
        ("2026-11-23T08:00:00.000Z", EIGHT),
        ("2026-11-23t08:00:00z", EIGHT),
        ("2026-11-23T09:00:00+01:00", EIGHT),
        ("2026-11-23T02:30:00-05:30", EIGHT),
        ("2026-11-23T08:00:00.5Z", EIGHT + 500),
        ("2026-11-23T08:00:00.0001Z", EIGHT + 1),  # rounded up: what is older than since must stay out
        ("2026-11-23T08:00:00.000999Z", EIGHT + 1),
        ("1795420800000", EIGHT),
        ("946684800000", 946_684_800_000),
        ("2000-01-01T00:00:00Z", 946_684_800_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ],
)
def test_takes_moments(raw: str | None, ms: int | None) -> None:
    """RFC 3339 with an offset, or epoch milliseconds."""
    assert parse_since(raw) == ms


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ("2026-11-23T08:00:00", "names no offset from UTC"),
        ("2026-11-23T09:00:00 01:00", "a + is sent as %2B"),
        ("2026-11-23", "neither RFC 3339"),
        ("yesterday", "'yesterday' is neither RFC 3339"),
        ("", "neither RFC 3339"),
        ("-1", "neither RFC 3339"),
        ("12.5", "neither RFC 3339"),
        ("NaN", "neither RFC 3339"),
        ("٢٠٢٦", "neither RFC 3339"),
        ("9" * 10_000, "neither RFC 3339"),
        ("2026-02-30T08:00:00Z", "neither RFC 3339"),
        ("0", "lies outside 2000 to 9999"),
        ("1795420800", "counts milliseconds since 1970, not seconds"),
        ("1795420800000000", "neither RFC 3339"),
        ("999999999999999", "lies outside 2000 to 9999"),
        ("1969-12-31T23:59:59Z", "lies outside 2000 to 9999"),
        ("9999-12-31T23:59:59-23:00", "lies outside 2000 to 9999"),
        ("0001-01-01T00:00:00+23:00", "lies outside 2000 to 9999"),
    ],
)
def test_refuses_what_is_no_moment(raw: str, says: str) -> None:
    """The detail tells what would be right, with no more of what was sent than it needs."""
    with pytest.raises(Refused) as refused:
        parse_since(raw)
    assert refused.value.code == "invalid_parameter"
    assert says in refused.value.detail
    assert len(refused.value.detail) < 250
