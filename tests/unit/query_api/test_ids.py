"""An id that ingest would refuse is refused here, not looked for."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query_api.ids import problem_of_id


@pytest.mark.parametrize(
    "id_",
    ["a", "a/b", "%2F", "?", "#", "a+b", "a b", " ", "..", ".", ";", "é", "😀" * 256, "\u2028", "\ufffd", "a" * 256],
)
def test_takes_what_ingest_takes(id_: str) -> None:
    """1 to 256 characters, whichever, but no control characters."""
    assert problem_of_id(id_) is None


@pytest.mark.parametrize(
    ("id_", "says"),
    [
        ("", "1 to 256 characters, and this one has 0"),
        ("a" * 257, "1 to 256 characters, and this one has 257"),
        ("😀" * 300, "1 to 256 characters, and this one has 300"),
        ("a\0b", "no control characters, and this one has U+0000 at 1"),
        ("\x7f", "U+007F at 0"),
        ("ab\x9f", "U+009F at 2"),
    ],
)
def test_names_the_rule_that_is_broken(id_: str, says: str) -> None:
    """And how it is broken."""
    assert says in (problem_of_id(id_) or "")


@given(st.characters(exclude_categories=["Cs"]))
def test_control_characters_are_unicode_s(character: str) -> None:
    """Category Cc and no other."""
    assert (problem_of_id(character) is not None) == (unicodedata.category(character) == "Cc")
