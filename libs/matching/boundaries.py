"""Where a word may begin or end in a folded text.

After UAX #29 (https://www.unicode.org/reports/tr29) on words, with what those who look for words need:

- Letters, digits and their marks make a word, as do those on both sides of an apostrophe or an underscore ("can" is not
  in "can't"), and digits on both sides of a point or a comma ("14" is not in "3.14"). A hyphen ends a word.
- An English 's ends the word before it, and an article that was cut short begins none: "refund" is in "refund's",
  "argent" in "l'argent" (as Lucene's filters for possessives and elisions have it).
- Where a script puts no spaces between words, and in Korean, any letter may be a word's first or last.
- Nothing ends within what is seen as one: a letter and its marks, an emoji of several joined ones, a flag.
"""

import re
from functools import lru_cache
from typing import Final

from matching.characters import KINDS, Kind
from matching.folding import Derived

_WORD: Final = frozenset({Kind.LETTER, Kind.DIGIT})
_LETTERS: Final = frozenset({Kind.LETTER, Kind.UNSPACED})
_MARKS: Final = frozenset({Kind.MARK, Kind.VIRAMA})
_WORD_OR_MARK: Final = _WORD | _MARKS
_BINDING: Final = frozenset({Kind.APOSTROPHE, Kind.CONNECTOR, Kind.POINT})
_TIED: Final = frozenset({Kind.SYMBOL, Kind.FLAG_HALF})  # to another of their kind, perhaps
_ZERO_WIDTH_JOINER: Final = "\u200d"
_ELISION: Final = re.compile(  # of French and Catalan; of Italian
    "[cdjlmnst]|(?:jus|lors|puis|quoi)?qu|v|(?:d?a|de|ne|su)?gl|(?:co|d?a|de|ne|pe|que|su)ll|quest|un"
)
_LONGEST_ELISION: Final = len("lorsqu")
_MAX_FLAG_HALVES: Final = 64  # even; nobody counts further back


def is_boundary(folded: Derived, place: int) -> bool:
    """Whether a word may begin or end at `place`, between two characters of the folded text or at an end of it."""
    certain = _between(folded.text[place - 1 : place + 1])
    return _in_context(folded, place) if certain is None else certain


@lru_cache(maxsize=65_536)
def _between(pair: str) -> bool | None:
    """The answer where two characters give it, whatever is around them. An end of the text has none or one."""
    if len(pair) < 2:
        return True
    left, right = KINDS[pair[0]], KINDS[pair[1]]
    if right in _MARKS or (left in _WORD and right in _WORD) or (left is Kind.VIRAMA and right in _LETTERS):
        return False
    is_tied = left is right and left in _TIED
    return None if left in _MARKS or is_tied or not _BINDING.isdisjoint((left, right)) else True


def _in_context(folded: Derived, place: int) -> bool:
    text = folded.text
    left, right = _kind_before(text, place), KINDS[text[place]]
    if left in _WORD and right in _WORD:
        return False
    return not (
        (left in _BINDING and right in _WORD and _binds(text, place - 1))
        or (right in _BINDING and left in _WORD and _binds(text, place))
        or (left is right is Kind.SYMBOL and _ZERO_WIDTH_JOINER in folded.ignored_at(place))
        or (left is right is Kind.FLAG_HALF and _splits_flag(text, place))
    )


def _kind_before(text: str, place: int) -> Kind:
    """The kind of the character before `place`, not counting its marks."""
    while place > 0:
        place -= 1
        if (kind := KINDS[text[place]]) not in _MARKS:
            return kind
    return Kind.OTHER


def _binds(text: str, middle: int) -> bool:
    """Whether the apostrophe, underscore, point or comma at `middle` makes one word of what is beside it."""
    before = _kind_before(text, middle)
    after = KINDS[text[middle + 1]] if middle + 1 < len(text) else Kind.OTHER
    kind = KINDS[text[middle]]
    if kind is Kind.POINT:
        return before is after is Kind.DIGIT
    if before not in _WORD or after not in _WORD:
        return False
    return kind is Kind.CONNECTOR or not (_is_possessive(text, middle) or _is_elision(text, middle))


def _is_possessive(text: str, apostrophe: int) -> bool:
    behind = apostrophe + 2
    return text[apostrophe + 1] == "s" and (behind == len(text) or KINDS[text[behind]] not in _WORD_OR_MARK)


def _is_elision(text: str, apostrophe: int) -> bool:
    first = apostrophe
    while first > 0 and KINDS[text[first - 1]] in _WORD_OR_MARK:
        first -= 1
        if apostrophe - first > _LONGEST_ELISION:
            return False
    while KINDS[text[first]] in _MARKS:  # of something that is no letter
        first += 1
    return _ELISION.fullmatch(text, first, apostrophe) is not None


def _splits_flag(text: str, place: int) -> bool:
    """Whether an odd number of regional indicators stands before `place`: the next one completes a flag."""
    first = place
    while first > 0 and place - first < _MAX_FLAG_HALVES and KINDS[text[first - 1]] is Kind.FLAG_HALF:
        first -= 1
    return (place - first) % 2 == 1
