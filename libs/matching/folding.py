"""The forms of a text that rules meet, and the way from an offset in them back to the original.

Two forms, so that what looks the same is found however it was typed:

- `clean`: NFKC without format characters (soft hyphens, joiners, direction marks), variation selectors and skin tones.
  Regexes meet this one: it keeps case and line ends, which they have means of their own to deal with.
- `fold`: clean, then case folding. Curly apostrophes are ', Unicode's hyphens are -, all white space between two words
  is one space. Keywords meet this one, folded likewise.

The dotted and the dotless i of Turkish, İ, I, ı and i, are one letter here: the language of a text is not known, and
nothing else finds "İPTAL" and "IŞIK" by "iptal" and "ışık". The price is that "sınır" is also found by "sinir".
"""  # noqa: RUF002  # the letters that it is about

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Final
from unicodedata import normalize

from matching.characters import (
    APOSTROPHES,
    DOTLESS_I,
    HYPHENS,
    IGNORED,
    JOINING,
    PERHAPS_JOINING,
    PERHAPS_TIED,
    SELECTORS,
    SKIN_TONES,
    SPACES,
    SPECIAL,
)

_MAX_JOINING: Final = 30
"""Marks that may follow one character before it counts as another: the Stream-Safe Text Format of Unicode (UAX #15).

Without it, sorting 64 KiB of marks takes `unicodedata` two seconds.
"""

_IGNORED: Final = re.compile(f"[{IGNORED}]+")
_SOLID: Final = re.compile(f"[^{IGNORED}]")
_TIED: Final = re.compile(f"[{PERHAPS_TIED}]")
_TIED_OR_SPECIAL: Final = re.compile(f"[{PERHAPS_TIED}{SPECIAL}]")
_LONG_RUN: Final = re.compile(f"[{PERHAPS_JOINING}]{{{_MAX_JOINING}}}")
_REPLACED: Final = re.compile(f"[{APOSTROPHES}{HYPHENS}{SPACES}{DOTLESS_I}]")
_REPLACED_BY: Final = {"\u2010": "-", "\u2011": "-", DOTLESS_I: "i"}
_APOSTROPHES: Final = frozenset(APOSTROPHES)
_MANY_SPACES: Final = re.compile("  +")

# Characters that are derived one by one, or one with all that NFKC may merge with it.
_CHUNK: Final = re.compile(
    f"(?P<run>[^{PERHAPS_TIED}]+)(?![{IGNORED}{JOINING}])"
    f"|[{IGNORED}]*(?s:.)(?:[{IGNORED}]*[{JOINING}]){{0,{_MAX_JOINING}}}[{IGNORED}]*"
)
_AS_TYPED: Final = re.compile(f"[{SELECTORS}{SKIN_TONES}]*")  # ends an emoji, and so belongs to a span that ends there

_ASCII_FOLD: Final = bytes(32 if chr(n).isspace() else ord(chr(n).lower()) for n in range(128)) + bytes(128)

Derive = Callable[[str], str]


def clean(text: str) -> str:
    """`text` as regexes meet it."""
    if text.isascii() or not _TIED.search(text):
        return normalize("NFKC", text)
    text = _IGNORED.sub("", text)
    if not _LONG_RUN.search(text):
        return normalize("NFKC", text)
    return "".join(normalize("NFKC", chunk[0]) for chunk in _CHUNK.finditer(text))


def fold(text: str) -> str:
    """`text` as keywords meet it."""
    folded = _fold_characters(text)
    return _MANY_SPACES.sub(" ", folded) if "  " in folded else folded


def _fold_characters(text: str) -> str:
    """`text` folded, with as much white space as it has: in its chunks one by one it is the same as in one go."""
    if text.isascii():
        return text.encode().translate(_ASCII_FOLD).decode()
    if not _TIED_OR_SPECIAL.search(text):
        return normalize("NFKC", normalize("NFKC", text).casefold())
    text = _IGNORED.sub("", text)
    if _LONG_RUN.search(text):
        return "".join(_fold_special(chunk[0]) for chunk in _CHUNK.finditer(text))
    return _fold_special(text)


def _fold_special(text: str) -> str:
    folded = normalize("NFKC", text).casefold().replace("i\u0307", "i")
    return normalize("NFKC", _REPLACED.sub(_ours, folded))


def _ours(found: re.Match[str]) -> str:
    return "'" if found[0] in _APOSTROPHES else _REPLACED_BY.get(found[0], " ")


class Derived:
    """A text derived from an original. Offsets count code points; the way back is found out when it is first asked."""

    def __init__(self, original: str, text: str, derive: Derive) -> None:
        """`derive` gives `text` but for many spaces, for all of `original` the same as for its chunks one by one."""
        self.original = original
        self.text = text
        self._derive = derive

    @classmethod
    def cleaned(cls, original: str) -> "Derived":
        return cls(original, clean(original), clean)

    @classmethod
    def folded(cls, original: str) -> "Derived":
        return cls(original, fold(original), _fold_characters)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where in the original `text[start:end]` comes from, for `start` < `end`."""
        if self._is_aligned:
            return start, end
        starts, ends = self._places
        typed = _AS_TYPED.match(self.original, ends[end - 1])
        return starts[start], typed.end() if typed else ends[end - 1]

    def ignored_at(self, place: int) -> str:
        """What was left out between `text[place - 1]` and `text[place]`, for a place within the text."""
        if self._is_aligned:
            return ""
        starts, ends = self._places
        return self.original[ends[place - 1] : starts[place]]

    @cached_property
    def _uncollapsed(self) -> str:
        return self._derive(self.original)

    @cached_property
    def _is_aligned(self) -> bool:
        """Whether each character stands where its original does: none is tied to another, none became several."""
        if len(self.text) != len(self.original) or len(self.text) != len(self._uncollapsed):
            return False
        return self.original.isascii() or not _TIED.search(self.original)

    @cached_property
    def _places(self) -> tuple[list[int], list[int]]:
        starts, ends = _places(self.original, self._derive)
        if len(self.text) == len(self._uncollapsed):
            return starts, ends
        return _collapsed(self._uncollapsed, starts, ends)


def _places(original: str, derive: Derive) -> tuple[list[int], list[int]]:
    """Start and end in `original` of each derived character."""
    starts: list[int] = []
    ends: list[int] = []
    for chunk in _CHUNK.finditer(original):
        start, end = chunk.span()
        run: str = chunk["run"] or ""
        if run and len(derive(run)) == len(run):
            starts.extend(range(start, end))
            ends.extend(range(start + 1, end + 1))
            continue
        solid = range(start, end) if run else [found.start() for found in _SOLID.finditer(original, start, end)]
        for first, last, count in _parts(run or ["".join(original[n] for n in solid)], derive):
            starts.extend([solid[first]] * count)
            ends.extend([solid[last] + 1] * count)
    return starts, ends


def _parts(units: Iterable[str], derive: Derive) -> Iterator[tuple[int, int, int]]:
    """First and last character of each part of `units`, counted through all of them, and how many it becomes."""
    at = 0
    for unit in units:
        for size, count in _cut(unit, derive):
            yield at, at + size - 1, count
            at += size


@lru_cache(maxsize=4096)
def _cut(unit: str, derive: Derive) -> Sequence[tuple[int, int]]:
    """The shortest parts of `unit` that are derived by themselves: the length of each, and of what it becomes."""
    parts = []
    while unit:
        whole = derive(unit)
        cuts = (n for n in range(1, len(unit)) if derive(unit[:n]) + derive(unit[n:]) == whole)
        size = next(cuts, len(unit))
        parts.append((size, len(derive(unit[:size]))))
        unit = unit[size:]
    return parts


def _collapsed(uncollapsed: str, starts: list[int], ends: list[int]) -> tuple[list[int], list[int]]:
    """The places without those of a space behind a space; the first one reaches as far as the last."""
    kept = [n for n, character in enumerate(uncollapsed) if character != " " or uncollapsed[n - 1 : n] != " "]
    behind = [*kept[1:], len(uncollapsed)]
    return [starts[n] for n in kept], [ends[n - 1] for n in behind]
