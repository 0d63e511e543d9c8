"""All terms of all rules, each once: what a text is scanned for in one go, whatever the number of rules."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from itertools import islice

from matching.folding import Derived
from matching.keywords import MAX_SPANS, KeywordSet, folded_keyword
from matching.regexes import Regex, RegexSet
from matching.rules import Terms


class Numbering:
    """Gives each different keyword a number from 0 up, and each different regex one from -1 down."""

    def __init__(self) -> None:
        self.keywords: dict[str, int] = {}
        self.regexes: dict[str, int] = {}

    def of(self, terms: Terms) -> dict[int, str]:
        """The numbers of `terms`, and how each term is written there first."""
        numbered: dict[int, str] = {}
        for keyword in terms.keywords:
            numbered.setdefault(self.keywords.setdefault(folded_keyword(keyword), len(self.keywords)), keyword)
        for pattern in terms.regexes:
            numbered[self.regexes.setdefault(pattern, ~len(self.regexes))] = pattern
        return numbered


class Scan:
    """What was found in a text."""

    def __init__(self, folded: Derived, keywords: Mapping[int, Sequence[tuple[int, int]]]) -> None:
        self.folded = folded
        self.numbers: AbstractSet[int] = keywords.keys()
        """The terms that were found."""
        self._keywords = keywords
        self._regexes: Mapping[int, Regex] = {}
        self._spans: dict[int, list[tuple[int, int]]] = {}  # many rules may ask for the same

    def add_regexes(self, found: Mapping[int, Regex]) -> None:
        if found:
            self.numbers = self.numbers | found.keys()
            self._regexes = found

    @cached_property
    def cleaned(self) -> Derived:
        return Derived.cleaned(self.folded.original)

    def spans(self, number: int) -> list[tuple[int, int]]:
        """Where a term that was found stands in the original text, in code points; at most `MAX_SPANS` places."""
        if number not in self._spans:
            self._spans[number] = list(self._found(number))
        return self._spans[number]

    def _found(self, number: int) -> Iterator[tuple[int, int]]:
        if number in self._keywords:
            return (self.folded.span(start, end) for start, end in self._keywords[number])
        found = islice(self._regexes[number].find(self.cleaned.text), MAX_SPANS)
        return (self.cleaned.span(start, end) for start, end in found)


class Vocabulary:
    """Compiled once for many texts; immutable."""

    def __init__(self, numbering: Numbering) -> None:
        """Raises RegexError, RegexSetError."""
        self._keywords = KeywordSet(numbering.keywords)
        self._regexes = {number: Regex(pattern) for pattern, number in numbering.regexes.items()}
        self._regex_set = RegexSet(list(numbering.regexes)) if numbering.regexes else None

    def scan(self, text: str) -> Scan:
        """Look for everything in `text`.

        Raises:
            RegexSetError: the engine gave up.
        """
        scan = self._scan_keywords(text)
        if self._regex_set is not None:
            found = self._regex_set.search(scan.cleaned.text)
            scan.add_regexes({~place: self._regexes[~place] for place in found})
        return scan

    def scan_singly(self, text: str) -> Scan:
        """The same, one regex after the other: what each takes by itself, none of them is without an answer."""
        scan = self._scan_keywords(text)
        cleaned = scan.cleaned.text
        scan.add_regexes({n: regex for n, regex in self._regexes.items() if next(regex.find(cleaned), None)})
        return scan

    def _scan_keywords(self, text: str) -> Scan:
        folded = Derived.folded(text)
        return Scan(folded, self._keywords.search(folded))
