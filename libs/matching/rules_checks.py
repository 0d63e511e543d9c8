"""What is wrong with a rule, all of it at once, and what would be right."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

import msgspec

from common.alerts import Severity
from common.contracts import Stream
from matching import regexes
from matching.conditions_source import ExpressionError
from matching.conditions_trial import admit
from matching.folding import fold
from matching.regexes import RegexError
from matching.rules import (
    MAX_DESTINATIONS,
    MAX_KEYWORD_CHARACTERS,
    MAX_KEYWORDS,
    MAX_NAME_CHARACTERS,
    MAX_REGEXES,
    MAX_RULE_BYTES,
    Rule,
    Terms,
)

CODES: Final[Mapping[str, str]] = {
    "not_object": "A rule is a JSON object.",
    "missing_field": "A field that every rule needs is absent.",
    "unknown_field": "A field that no rule has: most often a typo.",
    "wrong_type": "A field has a value of another type.",
    "out_of_range": "A number is smaller or greater than the limit that the detail names.",
    "unknown_stream": "There are the streams a and b.",
    "unknown_severity": "There are the severities info, warning and critical.",
    "unknown_destination": "No destination has this name.",
    "invalid_name": "A name has 1 to 64 ASCII letters, digits, dots, hyphens and underscores.",
    "no_streams": "A rule is for at least one stream.",
    "nothing_to_find": "A rule has a keyword, a regex or a condition.",
    "empty_keyword": "Nothing is left of a keyword once it is folded.",
    "keyword_too_long": "A keyword is longer than the limit that the detail names.",
    "invalid_text": "Text is valid Unicode; a lone surrogate is not.",
    "too_many": "There are more of something than the limit that the detail names.",
    "rule_too_large": "The rule's JSON is longer than the limit that the detail names.",
    "regex_too_long": "A regex is longer than the limit that the detail names.",
    "regex_refused": "A regex does not compile, or asks for what cannot be answered in linear time.",
    "regex_too_large": "A regex takes more instructions than the limit that the detail names.",
    "regex_not_clean": "A regex has a character that no text has once it is cleaned.",
    "regex_boundary": r"A regex has \b beside letters that it does not know.",
    "regex_finds_nothing": "A regex is content with no character at all, and so with every text.",
    "invalid_condition": "The condition does not compile, fails on a sample, or takes too long.",
    "too_costly": "The rule alone would take more time than a scanner has; the detail says how much.",
}
"""Every code of a `RuleProblem`. A code, once published, keeps its meaning."""

_NAME: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME_CHARACTERS - 1}}}")
_PLACE: Final = re.compile(r" - at `\$(.*)`$")
_SHOWN: Final = 40  # characters of a value that are repeated to whoever sent it


class RuleProblem(msgspec.Struct, frozen=True):
    """One thing that is wrong with a rule."""

    field: str  # where, such as "keywords[3]" or "all.regexes[0]"; "" for the rule as a whole
    code: str  # one of `CODES`
    detail: str  # what is wrong
    remedy: str  # what would be right


class InvalidRule(ValueError):  # noqa: N818  # named for what it is about
    """A rule cannot be; `problems` says why."""

    def __init__(self, problems: Iterable[RuleProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{problem.field}: {problem.detail}" for problem in self.problems))


def parse(body: object, destinations: Collection[str] | None = None) -> Rule:
    """A rule out of decoded JSON; see `check` for `destinations`.

    Raises:
        InvalidRule: with everything that is wrong.
    """
    if not isinstance(body, Mapping):
        raise InvalidRule([RuleProblem("", "not_object", "this is no object", "send an object with named fields")])
    problems = [*_unknown_fields(body, Rule, ""), *_unknown_fields_within(body)]
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(Rule):
        if field.name in body:
            try:
                values[field.name] = msgspec.convert(body[field.name], field.type)
            except msgspec.ValidationError as error:
                problems.append(_type_problem(field.name, str(error)))
    if "name" not in body:
        problems.append(RuleProblem("name", "missing_field", "the rule has no name", "give it one, such as refunds"))
    rule = Rule(**{"name": "unnamed", **values})
    found = check(rule, destinations)
    # A rule of which something could not be read only seems to look for nothing.
    problems.extend(problem for problem in found if not problems or problem.code != "nothing_to_find")
    if problems:
        raise InvalidRule(problems)
    return rule


def check(rule: Rule, destinations: Collection[str] | None = None) -> list[RuleProblem]:
    """Everything that is wrong with `rule`; a rule of other names than `destinations` too, unless that is None."""
    problems = [
        *_check_head(rule),
        *_check_destinations(rule, destinations),
        *_check_terms(rule),
        *_check_condition(rule),
    ]
    return problems or list(_check_whole(rule))


# --- its shape ------------------------------------------------------------------------------------------------------


def _unknown_fields(body: Mapping[str, Any], shape: type[Terms], prefix: str) -> Iterator[RuleProblem]:
    known = [field.name for field in msgspec.structs.fields(shape)]
    for name in body:
        if name not in known:
            close = get_close_matches(str(name), known, n=1)
            remedy = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
            yield RuleProblem(
                prefix + _shown(name), "unknown_field", f"there is no field {_shown(name)!r} here", remedy
            )


def _unknown_fields_within(body: Mapping[str, Any]) -> Iterator[RuleProblem]:
    for group in ("all", "none"):
        if isinstance(terms := body.get(group), Mapping):
            yield from _unknown_fields(terms, Terms, f"{group}.")


def _type_problem(name: str, message: str) -> RuleProblem:
    place = _PLACE.search(message)
    field = name + (place[1] if place else "")
    what = _PLACE.sub("", message)
    if what.startswith("Invalid enum value"):
        kind, choices = ("severity", Severity) if name == "severity" else ("stream", Stream)
        return RuleProblem(field, f"unknown_{kind}", f"there is no {kind} {what[19:]}", f"one of {', '.join(choices)}")
    code = "out_of_range" if re.search("[<>]=", what) else "wrong_type"
    expected = what.partition(", got ")[0].replace("Expected ", "", 1).replace("`", "")
    return RuleProblem(field, code, what[0].lower() + what[1:], f"send {expected}")


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


# --- its fields -----------------------------------------------------------------------------------------------------


def _check_head(rule: Rule) -> Iterator[RuleProblem]:
    if not _NAME.fullmatch(rule.name):
        detail = f"{_shown(rule.name)!r} does not do as a name"
        remedy = (
            f"1 to {MAX_NAME_CHARACTERS} ASCII letters, digits, dots, hyphens and underscores, a letter or digit first"
        )
        yield RuleProblem("name", "invalid_name", detail, remedy)
    if not rule.streams:
        yield RuleProblem("streams", "no_streams", "the rule is for no stream", "name a, b or both")
    if not (rule.keywords or rule.regexes or rule.all.keywords or rule.all.regexes or rule.when):
        yield RuleProblem(
            "", "nothing_to_find", "the rule looks for nothing", "give it keywords, regexes or a condition in `when`"
        )


def _check_destinations(rule: Rule, known: Collection[str] | None) -> Iterator[RuleProblem]:
    if len(rule.destinations) > MAX_DESTINATIONS:
        yield _too_many("destinations", len(rule.destinations), MAX_DESTINATIONS)
        return
    for n, name in enumerate(rule.destinations):
        if known is not None and name not in known:
            close = get_close_matches(name, known, n=1)
            remedy = f"did you mean {close[0]!r}?" if close else "make it first, or take one of those there are"
            detail = f"there is no destination {_shown(name)!r}"
            yield RuleProblem(f"destinations[{n}]", "unknown_destination", detail, remedy)


def _check_terms(rule: Rule) -> Iterator[RuleProblem]:
    groups = {"": rule, "all.": rule.all, "none.": rule.none}
    keywords = [(f"{at}keywords[{n}]", k) for at, terms in groups.items() for n, k in enumerate(terms.keywords)]
    patterns = [(f"{at}regexes[{n}]", r) for at, terms in groups.items() for n, r in enumerate(terms.regexes)]
    if len(keywords) > MAX_KEYWORDS:
        yield _too_many("keywords", len(keywords), MAX_KEYWORDS)
    else:
        for field, keyword in keywords:
            yield from _check_keyword(field, keyword)
    if len(patterns) > MAX_REGEXES:
        yield _too_many("regexes", len(patterns), MAX_REGEXES)
    else:
        for field, pattern in patterns:
            yield from _check_regex(field, pattern)


def _too_many(field: str, count: int, most: int) -> RuleProblem:
    return RuleProblem(
        field, "too_many", f"there are {count:,} {field}; {most:,} are the most", "split it into several rules"
    )


def _check_keyword(field: str, keyword: str) -> Iterator[RuleProblem]:
    if len(keyword) > MAX_KEYWORD_CHARACTERS:
        detail = f"it has {len(keyword):,} characters; {MAX_KEYWORD_CHARACTERS:,} are the most"
        yield RuleProblem(field, "keyword_too_long", detail, "look for a telling part of it")
    elif not fold(keyword).strip():
        detail = f"nothing is left of {keyword!a} without white space and invisible characters"
        yield RuleProblem(field, "empty_keyword", detail, "write a word or a phrase, or leave it out")


def _check_regex(field: str, pattern: str) -> Iterator[RuleProblem]:
    try:
        regexes.check(pattern)
    except RegexError as error:
        yield RuleProblem(field, error.code, error.wrong, error.right)


def _check_condition(rule: Rule) -> Iterator[RuleProblem]:
    if rule.when is None:
        return
    for stream in dict.fromkeys(rule.streams):
        try:
            admit(rule.when, stream)
        except ExpressionError as error:
            remedy = "mend it there; https://cel.dev explains the language"
            yield RuleProblem("when", "invalid_condition", f"on stream {stream}: {error}", remedy)
            return


def _check_whole(rule: Rule) -> Iterator[RuleProblem]:
    try:
        size = len(msgspec.json.encode(rule))
    except UnicodeEncodeError as error:
        detail = f"it has half of a surrogate pair, which is no character, in {_shown(error.object)!a}"
        yield RuleProblem("", "invalid_text", detail, "send Unicode")
        return
    if size > MAX_RULE_BYTES:
        detail = f"the rule has {size:,} bytes; {MAX_RULE_BYTES:,} are the most"
        yield RuleProblem("", "rule_too_large", detail, "split it into several rules")
