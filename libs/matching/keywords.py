"""Many keywords, looked for all at once: one automaton, then the boundaries of words (see `matching.boundaries`)."""

from collections.abc import Iterable
from typing import Final

from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

from matching.boundaries import is_boundary
from matching.folding import Derived, fold
from matching.nesting import Full, Nesting

MAX_SPANS: Final = 100
"""Where one keyword is found in one text is told up to so many times: a text may be nothing but one word."""

_MAX_DFA_CHARACTERS: Final = 50_000  # beyond, its table leaves the caches and the compact automaton is faster


def folded_keyword(keyword: str) -> str:
    """`keyword` as it is looked for."""
    return fold(keyword).strip()


class KeywordSet:
    """Distinct folded keywords, none of them empty."""

    def __init__(self, keywords: Iterable[str]) -> None:
        all_ = list(keywords)
        self._nesting = Nesting(all_)
        looked_for = [all_[number] for number in self._nesting.shallow]
        characters = sum(map(len, looked_for))
        self._automaton = AhoCorasick(
            looked_for,
            MatchKind.Standard,
            store_patterns=False,
            implementation=Implementation.DFA if characters <= _MAX_DFA_CHARACTERS else Implementation.ContiguousNFA,
        )

    def search(self, folded: Derived) -> dict[int, list[tuple[int, int]]]:
        """Where which keyword is a word of the text: by its place in the set, spans in the folded text from the left.

        Of one keyword there are at most `MAX_SPANS`; two of them may overlap.
        """
        found: dict[int, list[tuple[int, int]]] = {}
        shallow, deeper, full = self._nesting.shallow, self._nesting.deeper, None
        for place, start, end in self._automaton.find_matches_as_indexes(folded.text, overlapping=True):
            if is_boundary(folded, end):
                number, full = shallow[place], full or Full()  # most texts need none
                if number not in full.numbers and is_boundary(folded, start):
                    _add(found, full, number, (start, end))
                if number in deeper:
                    for other, at in self._nesting.ending_with(number, folded.text, start, full):
                        if is_boundary(folded, at):
                            _add(found, full, other, (at, end))
        return found


def _add(found: dict[int, list[tuple[int, int]]], full: Full, number: int, span: tuple[int, int]) -> None:
    spans = found.setdefault(number, [])
    spans.append(span)
    if len(spans) == MAX_SPANS:
        full.numbers.add(number)
