"""Regexes of RE2 (https://github.com/google/re2/wiki/Syntax): compiled, or refused with the reason; many as one set.

They meet the clean text (see `matching.folding`), case and all; `(?i)` in front lets case go. RE2 takes time in
proportion to the text, whatever the regex; what it would need to go back for, it has not.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import re2  # type: ignore[import-untyped]  # it ships no types, and this is its only importer

from matching.folding import clean

MAX_BYTES: Final = 4 * 1024
MAX_PROGRAM_SIZE: Final = 5_000
"""Instructions of one regex; `\\pL` has about 500 of them."""
SET_BYTES: Final = 256 * 1024 * 1024
"""What a set may grow to; it takes what it needs. 1,000 usual regexes need 2 MB, 1,000 with `.*` inside 25 MB."""

_HINTS: Final[Sequence[tuple[re.Pattern[str], str, str]]] = [
    (re.compile(pattern), wrong, right)
    for pattern, wrong, right in (
        (
            r"invalid escape sequence: \\[1-9]|invalid perl operator: \(\?P$",
            "it has a backreference, which cannot be answered in time proportional to the text",
            "write out what is repeated, or look for each part by a regex of its own under `all`",
        ),
        (
            r"invalid perl operator: \(\?<?[=!]",
            "it looks ahead or behind, which cannot be answered in time proportional to the text",
            "put what must be there too under `all` and what must not be there under `none`",
        ),
        (
            r"invalid perl operator: \(\?>|bad repetition operator",
            "it has an atomic group or a possessive or doubled repetition",
            "leave that out: RE2 never goes back, so there is nothing to forbid",
        ),
        (r"sequence: \\Z", r"\Z is none of RE2's escapes", r"the end of the text is \z"),
        (r"sequence: \\u", r"\u is none of RE2's escapes", r"write the character itself, or \x{20AC}"),
        (r"repetition size", "it repeats more than 1,000 times or backwards", "repeat at most {0,1000}, or use * or +"),
        (r"too large", "it is too large once its repetitions are written out", "repeat less, or simpler things"),
    )
]
_OTHERWISE: Final = "see https://github.com/google/re2/wiki/Syntax"

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)

# Every pair of neighbours that an anchor or \b can stand between.
_PROBES: Final = ("", "a", "\n", " ", "a a", " a ", "\na\n", "\n \n", "a\n a", "aa\n\n  ")


class RegexError(ValueError):
    """Why a regex is refused: a stable code, what is wrong, and what would be right."""

    def __init__(self, code: str, wrong: str, right: str) -> None:
        super().__init__(f"{wrong}: {right}")
        self.code = code
        self.wrong = wrong
        self.right = right


class RegexSetError(RuntimeError):
    """The engine could not take a set, or gave up on a text: there is no answer, which is not the answer "none"."""


class Found(NamedTuple):
    """Where a regex was found, in code points."""

    start: int
    end: int


class Regex:
    """A compiled regex."""

    def __init__(self, pattern: str) -> None:
        """Raises RegexError."""
        self.pattern = pattern
        try:
            self._compiled = re2.compile(pattern, _options())
        except re2.error as error:
            raise _explained(error) from None

    @property
    def program_size(self) -> int:
        """How many instructions it takes, either way: backwards is how the beginning of a match is found."""
        sizes: tuple[int, int] = self._compiled.programsize, self._compiled.reverseprogramsize
        return max(sizes)

    def find(self, text: str) -> Iterator[Found]:
        """Where it is found from left to right, not overlapping; each takes time in proportion to the text."""
        for found in self._compiled.finditer(text):
            start, end = found.span()
            if start < end:
                yield Found(start, end)

    @property
    def finds_nothing(self) -> bool:
        """Whether it may be content with no character at all."""
        return any(m.start() == m.end() for probe in _PROBES for m in self._compiled.finditer(probe))


class RegexSet:
    """Many regexes, looked for all at once."""

    def __init__(self, patterns: Sequence[str], max_bytes: int = SET_BYTES) -> None:
        """Raises RegexSetError."""
        self._set = re2.Set.SearchSet(_options(max_bytes))
        try:
            for pattern in patterns:
                self._set.Add(pattern)
            # Found in every text: an answer without it is none, but the engine's way to say that its memory ran out.
            self._always = self._set.Add("")
            self._set.Compile()
        except re2.error as error:
            detail = f"{len(patterns):,} regexes do not fit into one set of {max_bytes:,} bytes: {error}"
            raise RegexSetError(detail) from None

    def search(self, text: str) -> Sequence[int]:
        """Which patterns are found in `text`, by their place in the set.

        Raises:
            RegexSetError: the engine gave up.
        """
        found: list[int] = self._set.Match(text) or []
        if self._always not in found:
            raise RegexSetError(f"the set of regexes gave up on a text of {len(text):,} characters")
        found.remove(self._always)
        return found


def check(pattern: str) -> Regex:
    """`pattern` compiled, if it may be part of a rule.

    Raises:
        RegexError: why not.
    """
    _check_characters(pattern)
    regex = Regex(pattern)
    if regex.program_size > MAX_PROGRAM_SIZE:
        wrong = f"it takes {regex.program_size:,} instructions, and {MAX_PROGRAM_SIZE:,} are the most"
        raise RegexError("regex_too_large", wrong, "repeat less, or simpler things: \\pL alone takes 500")
    if regex.finds_nothing:
        raise RegexError(
            "regex_finds_nothing", "it is content with no character at all", "ask for one: + in place of *"
        )
    return regex


def _check_characters(pattern: str) -> None:
    size = len(pattern.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        wrong = f"it has {size:,} bytes, and {MAX_BYTES:,} are the most"
        raise RegexError("regex_too_long", wrong, "split it into several regexes, or take keywords")
    if _SURROGATE.search(pattern):
        raise RegexError("invalid_text", "it has half of a surrogate pair, which is no character", "write it whole")
    cleaned = clean(pattern)
    if cleaned != pattern:
        at = next(n for n, character in enumerate(pattern) if cleaned[n : n + 1] != character)
        wrong = f"it has {pattern[at]!a}, which no text has once it is cleaned (NFKC, without format characters)"
        raise RegexError("regex_not_clean", wrong, "write the plain form, with \\ before ( ) [ ] { } . * + ? | ^ $")
    if not pattern.isascii() and {"b", "B"}.intersection(_ESCAPED.findall(pattern)):
        wrong = r"\b knows ASCII letters alone: it sees no word in what else is written here"
        raise RegexError("regex_boundary", wrong, r"use a keyword, or (?:^|\P{L})word(?:\P{L}|$)")


def _options(max_bytes: int | None = None) -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True  # the whole match is all that is asked for, and DFAs can tell that
    if max_bytes is not None:
        options.max_mem = max_bytes
    return options


def _explained(error: re2.error) -> RegexError:
    raw = error.args[0]
    message = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    for pattern, wrong, right in _HINTS:
        if pattern.search(message):
            return RegexError("regex_refused", f"{wrong} ({message})", right)
    return RegexError("regex_refused", f"it does not compile: {message}", _OTHERWISE)
