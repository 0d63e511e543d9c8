"""A stored record reads back under the names it was sent with, its times as RFC 3339."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.contracts import MAX_INTEGER, StoredA, StoredB
from common.instants import rfc3339_ms, rfc3339_us
from query_api.examples import EXAMPLES
from query_api.views import view

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STORED_A = StoredA(
    id="a-1",
    number=5.0,
    text="",
    event_time=1_795_420_800_007,
    ingested_at=1_795_420_801_250_017,
    content_hash=1,
    first_seen=946_684_800_000,
)
STORED_B = StoredB(**msgspec.structs.asdict(STORED_A), a_id="a/1 é")


def test_an_a_has_the_names_it_was_sent_with() -> None:
    """And the three times that were added; what is ours alone stays inside."""
    assert msgspec.to_builtins(view(STORED_A)) == {
        "unique_identifier": "a-1",
        "number": 5.0,
        "text": "",
        "event_time": "2026-11-23T08:00:00.007Z",
        "ingested_at": "2026-11-23T08:00:01.250017Z",
        "first_seen": "2000-01-01T00:00:00.000Z",
    }


def test_a_b_also_names_its_a() -> None:
    """Right after its own id, as it is sent."""
    shown = msgspec.to_builtins(view(STORED_B))
    assert shown == {**msgspec.to_builtins(view(STORED_A)), "Stream_A_unique_identifier": "a/1 é"}
    assert list(shown)[:2] == ["unique_identifier", "Stream_A_unique_identifier"]


def test_a_number_is_written_as_a_double() -> None:
    """5 was taken as 5.0 and stays so."""
    assert b'"number":5.0' in msgspec.json.encode(view(STORED_A))


@given(st.integers(0, 253_402_300_799_999))
def test_milliseconds_survive(ms: int) -> None:
    """Each of them, up to the year 9999."""
    written = rfc3339_ms(ms)
    assert written[-5] == "."
    assert (datetime.fromisoformat(written) - EPOCH) / timedelta(milliseconds=1) == ms


@given(st.integers(0, MAX_INTEGER))
def test_microseconds_survive(us: int) -> None:
    """Each of them."""
    written = rfc3339_us(us)
    assert written[-8] == "."
    assert datetime.fromisoformat(written) - EPOCH == timedelta(microseconds=us)


def test_a_moment_that_no_calendar_has_is_shown_as_the_last() -> None:
    """One such record in the log must not make the pages that hold it unreadable."""
    assert rfc3339_ms(MAX_INTEGER) == "9999-12-31T23:59:59.999Z"


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_examples_are_answers_that_may_come(name: str) -> None:
    """Each reads back as the struct it is an example of, its limits kept."""
    example = EXAMPLES[name]
    assert msgspec.json.decode(msgspec.json.encode(example), type=type(example)) == example
