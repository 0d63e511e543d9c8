"""Which characters folding must look at twice, and what each one is to a word: Unicode's data, read once at import."""

import re
import unicodedata
from collections.abc import Container, Iterable
from enum import IntEnum, auto
from itertools import chain
from typing import Final

# --- what folding must look at twice --------------------------------------------------------------------------------

# Planes 2 and 3 hold ideographs alone, planes 4 to 13 and 15 to 16 nothing; tags and selectors begin at U+E0000.
_CODE_POINTS: Final = tuple(map(chr, chain(range(0xD800), range(0xE000, 0x20000), range(0xE0000, 0xE1000))))

SELECTORS: Final = "\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"
"""Variation selectors: how a character looks, not which one it is (❤ in black, ❤️ in red)."""
SKIN_TONES: Final = "\U0001f3fb-\U0001f3ff"
_GRAPHEME_JOINER: Final = "\u034f"  # despite its name it joins nothing, and is never seen
APOSTROPHES: Final = "\u2018\u2019\u201b\u02bc"
HYPHENS: Final = "\u2010\u2011"
SPACES: Final = "\t-\r\x1c-\x1f\x85\u1680\u2028\u2029"
"""White space that NFKC leaves as it is."""
DOTLESS_I: Final = "\u0131"
SPECIAL: Final = APOSTROPHES + HYPHENS + SPACES + DOTLESS_I + "\u0130\u0149\U0001d6a4"
"""What folds in a way of ours, or contains such a character once NFKC has taken it apart."""


def class_of(characters: Iterable[str]) -> str:
    """The inside of a regex's [ ] that holds `characters`, as ranges."""
    ranges: list[list[int]] = []
    for point in sorted(map(ord, characters)):
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


def _coarse_class_of(characters: Iterable[str]) -> str:
    """A class that holds more than `characters` above U+FFFF.

    A regex finds a character below in a table, but walks along every range above; here it has three to walk along,
    none of them with emoji.
    """
    above = "\U00010000-\U0001f2ff\U0001f3fb-\U0001f3ff\U000e0000-\U000e0fff"
    return class_of(c for c in characters if c <= "\uffff") + above


def _joins(character: str, seconds: frozenset[str]) -> bool:
    """Whether NFKC may reorder `character` against, or compose it with, what stands before it."""
    first = unicodedata.normalize("NFKD", character)[0] if unicodedata.decomposition(character) else character
    return unicodedata.combining(first) != 0 or first in seconds


def _seconds() -> frozenset[str]:
    """What stands second in a canonical composition; the vowels and finals of Hangul compose by arithmetic."""
    decompositions = (unicodedata.decomposition(c).split() for c in _CODE_POINTS)
    pairs = (chr(int(parts[1], 16)) for parts in decompositions if len(parts) == 2 and parts[0][0] != "<")
    return frozenset(pairs).union(map(chr, chain(range(0x1161, 0x1176), range(0x11A8, 0x11C3))))


def _joining(ignored: Container[str]) -> list[str]:
    seconds = _seconds()
    return [c for c in _CODE_POINTS if c not in ignored and _joins(c, seconds)]


def _ignored() -> frozenset[str]:
    looks = re.compile(f"[{SELECTORS}{SKIN_TONES}{_GRAPHEME_JOINER}]")
    return frozenset(c for c in _CODE_POINTS if unicodedata.category(c) == "Cf" or looks.match(c))


_IGNORED: Final = _ignored()
_JOINING: Final = _joining(_IGNORED)

IGNORED: Final = class_of(_IGNORED)
"""What never makes a difference. This and the next three are the insides of a regex's [ ]."""
JOINING: Final = class_of(_JOINING)
"""What NFKC may merge with the character before it: marks above all."""
PERHAPS_JOINING: Final = _coarse_class_of(_JOINING)
PERHAPS_TIED: Final = _coarse_class_of([*_IGNORED, *_JOINING])
"""All of `IGNORED` and `JOINING`, and more. In a text without any, every character is folded by itself."""

# --- what characters are to a word ----------------------------------------------------------------------------------


class Kind(IntEnum):  # which hashes faster than Enum does
    """What a character does to the word it stands in or beside."""

    LETTER = auto()
    DIGIT = auto()
    UNSPACED = auto()  # a letter of a script that puts no spaces between words
    MARK = auto()  # belongs to the character before it
    VIRAMA = auto()  # a mark that ties the next letter to it as well
    APOSTROPHE = auto()
    CONNECTOR = auto()  # the underscore and its like
    POINT = auto()  # part of a number between two digits
    FLAG_HALF = auto()  # two regional indicators are one flag
    SYMBOL = auto()  # emoji among them
    OTHER = auto()


# Line breaking classes SA and ID (https://www.unicode.org/reports/tr14), and Hangul: Korean has spaces, but glues its
# particles and compounds to the word one looks for.
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u1b00-\u1b7f\u2e80-\u2fdf"
    "\u3005-\u3007\u3021-\u3029\u3031-\u318f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\ua4cf\ua960-\ua97f"
    "\ua980-\ua9ff\uaa60-\uaadf\uac00-\ud7ff\uf900-\ufaff\U00011700-\U0001174f\U0001aff0-\U0001b16f"
    "\U00020000-\U0003ffff]"
)
_SPECIAL_KINDS: Final = {"'": Kind.APOSTROPHE, ".": Kind.POINT, ",": Kind.POINT}
_MAJOR_KINDS: Final = {"N": Kind.DIGIT, "M": Kind.MARK}
_MINOR_KINDS: Final = {"Pc": Kind.CONNECTOR, "So": Kind.SYMBOL}


class _Kinds(dict[str, Kind]):
    """Found out once for each character that occurs."""

    def __missing__(self, character: str) -> Kind:
        kind = self[character] = _kind_of(character)
        return kind


def _kind_of(character: str) -> Kind:
    category = unicodedata.category(character)
    if unicodedata.combining(character) == 9:
        return Kind.VIRAMA
    if category[0] == "L":
        return Kind.UNSPACED if _UNSPACED.match(character) else Kind.LETTER
    if "\U0001f1e6" <= character <= "\U0001f1ff":
        return Kind.FLAG_HALF
    ours = _SPECIAL_KINDS.get(character) or _MAJOR_KINDS.get(category[0])
    return ours or _MINOR_KINDS.get(category, Kind.OTHER)


KINDS: Final = _Kinds()
"""The kind of a character; all of Unicode at most."""
