"""Why a rule holds for a record, or why not: the text as its terms met it, and the first thing that failed."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple
from unicodedata import category, normalize

import msgspec
from msgspec.structs import replace

from common.alerts import Span
from common.contracts import RecordA, Stream
from matching.boundaries import is_boundary
from matching.conditions import FAILURES, RecordContext, parse
from matching.folding import Derived
from matching.keywords import folded_keyword
from matching.matcher import CompiledRule, Matcher
from matching.regexes import Regex, RegexSetError
from matching.rules import Rule, VersionedRule
from matching.vocabulary import Scan


class Reason(StrEnum):
    """Why a check failed; of several terms the nearest miss, in this order."""

    BOUNDARY = "boundary"  # the keyword is there, but within a longer word
    FOLD = "fold"  # something is there that folding does not make the same: other accents, hyphens or spaces
    CASE = "case"  # the regex would be found if case did not matter
    ABSENT = "absent"
    PRESENT = "present"  # a term that must not be there is
    CONDITION = "condition"
    STREAM = "stream"
    DISABLED = "disabled"


class Step(msgspec.Struct, frozen=True):
    """One check, in the order of the scanner's; the first that fails is the last one made."""

    check: str  # enabled, stream, any, all, none or when
    passed: bool
    detail: str
    reason: Reason | None = None


class Explanation(msgspec.Struct, frozen=True):
    matched: bool
    matches: tuple[Span, ...]
    explain: tuple[Step, ...]
    folded: str
    """The text as keywords meet it."""
    cleaned: str
    """The text as regexes meet it."""


class _Miss(NamedTuple):
    """How nearly a term was found."""

    reason: Reason
    detail: str


class _Bare(NamedTuple):
    """The letters and digits of a text without accents, and the place of each."""

    letters: str
    places: Sequence[int]


def explain(rule: Rule, stream: Stream, record: RecordA) -> Explanation:
    """Try a rule that was checked (see `matching.rules_checks`) on one record of `stream`, with the scanner's code.

    Raises:
        CompileError: it was not checked.
    """
    matcher = Matcher.compile([VersionedRule(replace(rule, enabled=True), 0)])
    scan = _scan(matcher, record.text)
    steps = []
    for step in _steps(rule, matcher.rules[0], scan, stream, record):
        steps.append(step)
        if not step.passed:
            break
    matched = steps[-1].passed
    hits = matcher.hits(scan, stream, record) if matched else []
    return Explanation(
        matched=matched,
        matches=hits[0].spans if hits else (),
        explain=tuple(steps),
        folded=scan.folded.text,
        cleaned=scan.cleaned.text,
    )


def _scan(matcher: Matcher, text: str) -> Scan:
    try:
        return matcher.scan(text)
    except RegexSetError:
        return matcher.scan_singly(text)


def _steps(rule: Rule, compiled: CompiledRule, scan: Scan, stream: Stream, record: RecordA) -> Iterator[Step]:
    if not rule.enabled:
        yield Step("enabled", passed=False, reason=Reason.DISABLED, detail="the rule is disabled")
    streams = " and ".join(rule.streams)
    if stream in rule.streams:
        yield Step("stream", passed=True, detail=f"the rule is for {streams}")
    else:
        detail = f"the rule is for {streams}, the record of stream {stream}"
        yield Step("stream", passed=False, reason=Reason.STREAM, detail=detail)
    unmet = compiled.unmet(scan.numbers)
    for check, terms in (("any", compiled.any), ("all", compiled.all), ("none", compiled.none)):
        if terms:
            yield _failed(check, terms, scan) if check == unmet else _passed(check, terms, scan)
    if rule.when is not None:
        yield _condition(rule.when, stream, record)


# --- terms ----------------------------------------------------------------------------------------------------------


def _passed(check: str, terms: Mapping[int, str], scan: Scan) -> Step:
    if check == "none":
        return Step(check, passed=True, detail=f"none of {len(terms)} is there")
    found = [number for number in terms if number in scan.numbers]
    more = f", and {len(found) - 1} more of {len(terms)}" if len(found) > 1 else ""
    return Step(check, passed=True, detail=f"{_place(terms[found[0]], scan.spans(found[0])[0])}{more}")


def _failed(check: str, terms: Mapping[int, str], scan: Scan) -> Step:
    if check == "none":
        number = next(number for number in terms if number in scan.numbers)
        detail = f"{_place(terms[number], scan.spans(number)[0])}, and must not be there"
        return Step(check, passed=False, reason=Reason.PRESENT, detail=detail)
    missing = {number: term for number, term in terms.items() if number not in scan.numbers}
    order = list(Reason)
    bare = _bare(scan.folded.text)
    misses = (_missed_regex(term, scan) if n < 0 else _missed(term, scan.folded, bare) for n, term in missing.items())
    nearest = min(misses, key=lambda miss: order.index(miss.reason))
    detail = f"none of {len(terms)} is there: {nearest.detail}" if check == "any" and len(terms) > 1 else nearest.detail
    return Step(check, passed=False, reason=nearest.reason, detail=detail)


def _place(term: str, span: tuple[int, int]) -> str:
    return f"{term!r} stands at {span[0]} to {span[1]}"


def _missed(keyword: str, folded: Derived, bare: _Bare) -> _Miss:
    wanted = folded_keyword(keyword)
    at = folded.text.find(wanted)
    if at >= 0:
        first, last = _widened(folded, at, at + len(wanted))
        start, end = folded.span(first, last)
        within = folded.original[start:end]
        return _Miss(Reason.BOUNDARY, f"{_place(keyword, folded.span(at, at + len(wanted)))}, but within {within!r}")
    for start, end in _loosely(wanted, folded, bare):
        seen = folded.original[start:end]
        detail = f"{seen!r} stands at {start} to {end}, which folding leaves different from {keyword!r}"
        return _Miss(Reason.FOLD, detail)
    return _Miss(Reason.ABSENT, f"{keyword!r} is nowhere in the text")


def _widened(folded: Derived, start: int, end: int) -> tuple[int, int]:
    """The word or words around this stretch of the folded text."""
    while not is_boundary(folded, start):
        start -= 1
    while not is_boundary(folded, end):
        end += 1
    return start, end


def _loosely(wanted: str, folded: Derived, bare: _Bare) -> Iterator[tuple[int, int]]:
    """Where in the original `wanted` stands between boundaries when only bare letters and digits count."""
    sought = _bare(wanted).letters
    at = bare.letters.find(sought) if sought else -1
    while at >= 0:
        start, end = bare.places[at], bare.places[at + len(sought) - 1] + 1
        while end < len(folded.text) and category(folded.text[end])[0] == "M":
            end += 1
        if is_boundary(folded, start) and is_boundary(folded, end):
            yield folded.span(start, end)
        at = bare.letters.find(sought, at + 1)


def _bare(text: str) -> _Bare:
    found = [(letter, n) for n, character in enumerate(text) for letter in normalize("NFKD", character)]
    kept = [(letter, n) for letter, n in found if letter.isalnum()]
    return _Bare("".join(letter for letter, _ in kept), [n for _, n in kept])


def _missed_regex(pattern: str, scan: Scan) -> _Miss:
    found = next(Regex(f"(?i:{pattern})").find(scan.cleaned.text), None)
    if found is None:
        return _Miss(Reason.ABSENT, f"{pattern!r} is found nowhere in the text")
    start, end = scan.cleaned.span(found.start, found.end)
    return _Miss(Reason.CASE, f"{pattern!r} would be found at {start} to {end} with (?i) in front of it")


# --- the condition --------------------------------------------------------------------------------------------------


def _condition(when: str, stream: Stream, record: RecordA) -> Step:
    expression = parse(when, stream)
    try:
        holds = expression.evaluate(RecordContext(stream, expression.variables).load(record))
    except FAILURES as error:
        return Step("when", passed=False, reason=Reason.CONDITION, detail=f"{when!r} fails on this record: {error}")
    detail = f"{when!r} is {'true' if holds else 'false'} for this record"
    return Step("when", passed=holds, reason=None if holds else Reason.CONDITION, detail=detail)
