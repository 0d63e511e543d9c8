"""Keywords within keywords within keywords, however many rules they are spread over."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matching.boundaries import is_boundary
from matching.folding import Derived
from matching.keywords import MAX_SPANS, KeywordSet
from matching.nesting import MAX_ENDING


def obvious(keywords: Sequence[str], text: str) -> dict[int, list[tuple[int, int]]]:
    """Every keyword at every place."""
    folded = Derived.folded(text)
    found: dict[int, list[tuple[int, int]]] = {}
    for number, keyword in enumerate(keywords):
        for start in range(len(folded.text)):
            end = start + len(keyword)
            if folded.text[start:end] == keyword and is_boundary(folded, start) and is_boundary(folded, end):
                found.setdefault(number, []).append((start, end))
    return {number: spans[:MAX_SPANS] for number, spans in found.items()}


words = st.text("aก", min_size=1, max_size=2 * MAX_ENDING)


@settings(max_examples=200, deadline=None)
@given(
    st.sets(words | st.integers(1, 40).map("ก".__mul__) | st.integers(1, 40).map("a".__mul__), max_size=60), st.data()
)
def test_what_is_nested_deeply_is_found_where_it_is_a_word(keywords: set[str], data: st.DataObject) -> None:
    written = sorted(keywords)
    part = words | st.sampled_from([*written, "ก" * 60, "a" * 60, " "])
    text = data.draw(st.lists(part, max_size=6).map("".join))
    assert KeywordSet(written).search(Derived.folded(text)) == obvious(written, text)


@pytest.mark.parametrize("character", ["a", "ก", "a "])
def test_a_text_of_one_character_costs_no_more_than_its_length(character: str) -> None:
    """The automaton tells of a few keywords at each place, not of all hundreds that end there."""
    keywords = [(character * n).strip() for n in range(1, 257)]
    text = (character * 20_000)[:20_000]
    searched = KeywordSet(keywords)
    told = searched._automaton.find_matches_as_indexes(text, overlapping=True)
    assert len(told) <= MAX_ENDING * len(text)
    found = searched.search(Derived.folded(text))
    assert len(found) == (0 if character == "a" else 256)
    assert all(len(spans) == MAX_SPANS for spans in found.values())
