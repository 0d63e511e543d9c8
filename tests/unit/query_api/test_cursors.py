"""A cursor reads back as it was written, for its walk alone."""

import string

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from common.errors import Refused
from query_api.cursors import Cursors
from query_api.walks import Order, Place, Walk

CURSORS = Cursors(b"k" * 32)
URL_SAFE = string.ascii_letters + string.digits + "-_"

ids = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=256)
walks = st.builds(Walk, ids, st.sampled_from(Order), st.none() | st.integers(946_684_800_000, 2**53))
places = st.builds(Place, st.integers(0, 2**53), ids)


def assert_refused(cursors: Cursors, walk: Walk, cursor: str) -> None:
    with pytest.raises(Refused) as refused:
        cursors.read(walk, cursor)
    assert refused.value.code == "invalid_cursor"
    assert "next_cursor" in refused.value.detail


@given(walks, places)
def test_reads_back_what_was_written(walk: Walk, place: Place) -> None:
    """Any place, of any walk."""
    assert CURSORS.read(walk, CURSORS.write(walk, place)) == place


def test_a_page_has_a_next_one_where_more_was_found_than_it_holds() -> None:
    """Which begins behind the last that it shows."""
    walk, found = Walk("a-1", Order.ID), [Place(n, f"b-{n}") for n in range(4)]
    whole, none = CURSORS.cut(walk, found, 4, lambda one: one)
    items, cursor = CURSORS.cut(walk, found, 3, lambda one: one)
    assert (whole, none, items) == (found, None, found[:3])
    assert CURSORS.after(walk, cursor) == Place(2, "b-2")
    assert CURSORS.after(walk, None) is None


@given(walks, places)
def test_is_safe_in_a_url(walk: Walk, place: Place) -> None:
    """It needs no percent-encoding, whatever the id."""
    assert set(CURSORS.write(walk, place)) <= set(URL_SAFE)


def test_fits_into_a_url_with_the_longest_ids() -> None:
    """256 characters of four bytes each stay well below the 8 KiB that proxies take as a request line."""
    assert len(CURSORS.write(Walk("😀" * 256, Order.ID), Place(2**53, "😀" * 256))) < 2048


@given(walks, walks, places)
def test_belongs_to_its_walk(walk: Walk, other: Walk, place: Place) -> None:
    """Another id, order or since is refused, not silently read from a wrong place."""
    assume(walk != other)
    assert_refused(CURSORS, other, CURSORS.write(walk, place))


@pytest.mark.parametrize(
    "other",
    [
        Walk("a-2", Order.TIME, 946_684_800_000),
        Walk("a-1", Order.ID, 946_684_800_000),
        Walk("a-1", Order.TIME, 946_684_800_001),
        Walk("a-1", Order.TIME),
    ],
)
def test_each_part_of_a_walk_counts(other: Walk) -> None:
    """One of them changed is enough."""
    assert_refused(CURSORS, other, CURSORS.write(Walk("a-1", Order.TIME, 946_684_800_000), Place(1, "b-1")))


@given(walks, places, st.data())
def test_no_change_goes_unnoticed(walk: Walk, place: Place, data: st.DataObject) -> None:
    """One character replaced, added or removed anywhere: each cursor has one spelling."""
    cursor = CURSORS.write(walk, place)
    at = data.draw(st.integers(0, len(cursor)))
    removed = data.draw(st.integers(0, 1))
    added = data.draw(st.text(URL_SAFE + "=+/ ~é\n", max_size=2))
    changed = cursor[:at] + added + cursor[at + removed :]
    assume(changed != cursor)
    assert_refused(CURSORS, walk, changed)


@given(walks, st.text())
@example(Walk("a", Order.ID), "")
@example(Walk("a", Order.ID), "AQ")
@example(Walk("a", Order.ID), "x" * 100_000)
def test_what_is_no_cursor_is_refused(walk: Walk, cursor: str) -> None:
    """Whatever someone types."""
    assert_refused(CURSORS, walk, cursor)


def test_another_secret_s_is_refused() -> None:
    """Nobody without the secret can make one."""
    walk, place = Walk("a-1", Order.TIME), Place(1, "b-1")
    assert_refused(CURSORS, walk, Cursors(b"j" * 32).write(walk, place))


def test_another_version_s_is_refused() -> None:
    """A later version may write cursors in another way: the first byte tells."""
    walk = Walk("a-1", Order.TIME)
    cursor = CURSORS.write(walk, Place(1, "b-1"))
    assert cursor.startswith("A")
    assert_refused(CURSORS, walk, "B" + cursor[1:])
