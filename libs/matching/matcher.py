"""Rules against records: compiled as a whole into a snapshot that never changes, and swapped as a whole.

What costs per record is one scan of its text for all terms of all rules; rules are looked at only when one of their
terms was found. So the time per record hardly grows with the number of rules, only with the number of hits.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from heapq import merge
from itertools import groupby, islice
from typing import Final, NamedTuple

import cel

from common.alerts import Span
from common.contracts import RecordA, Stream
from matching.conditions import FAILURES, Expression, RecordContext, parse
from matching.conditions_set import ConditionSet
from matching.conditions_source import ExpressionError
from matching.keywords import MAX_SPANS
from matching.regexes import RegexError, RegexSetError
from matching.rules import Rule, VersionedRule, match_revision
from matching.vocabulary import Numbering, Scan, Vocabulary

TEXT: Final = "text"
"""The field that terms are looked for in."""


class Hit(NamedTuple):
    """A rule that holds for a record."""

    rule: Rule
    version: int
    revision: str
    """The match revision, see `matching.rules.match_revision`."""
    spans: tuple[Span, ...]
    """In the order of the text, at most `MAX_SPANS`; none when the rule has a condition only."""


class CompileError(ValueError):
    """Rules that cannot be compiled: `rule` names the one at fault, or is None when it is all of them together."""

    def __init__(self, rule: str | None, detail: str) -> None:
        super().__init__(f"rule {rule}: {detail}" if rule else detail)
        self.rule = rule
        self.detail = detail


@dataclass(frozen=True, eq=False)
class CompiledRule:
    """A rule whose terms are numbers of a vocabulary."""

    rule: Rule
    version: int
    revision: str
    any: Mapping[int, str]
    all: Mapping[int, str]
    none: Mapping[int, str]

    def unmet(self, found: AbstractSet[int]) -> str | None:
        """The first of "any", "all" and "none" that does not hold when these terms are found; None when all do."""
        if self.any and found.isdisjoint(self.any.keys()):
            return "any"
        if not self.all.keys() <= found:
            return "all"
        return None if found.isdisjoint(self.none.keys()) else "none"

    @cached_property
    def triggers(self) -> Collection[int]:
        """Terms of which one is found whenever the rule holds; none for a rule with a condition only."""
        return self.any or list(self.all)[:1]

    @cached_property
    def terms(self) -> Mapping[int, str]:
        """What is shown where it is found."""
        return {**self.all, **self.any}

    def hit(self, scan: Scan) -> Hit:
        """The hit, once it is known to be one."""
        text, found = scan.folded.original, self.terms.keys() & scan.numbers
        places = merge(*([(*span, self.terms[number]) for span in scan.spans(number)] for number in found))
        first = islice((place for place, _ in groupby(places)), MAX_SPANS)
        spans = (Span(TEXT, start, end, text[start:end], pattern) for start, end, pattern in first)
        return Hit(self.rule, self.version, self.revision, tuple(spans))


class _Side:
    """The rules on one stream."""

    def __init__(self, stream: Stream, rules: Sequence[CompiledRule]) -> None:
        self._rules = rules
        expressions = _expressions(stream, rules)
        untriggered = {n: e for n, e in expressions.items() if not rules[n].triggers}
        self._conditions = ConditionSet(stream, untriggered) if untriggered else None
        self._expressions = {n: e for n, e in expressions.items() if n not in untriggered}
        self._context = RecordContext(stream, {v for e in self._expressions.values() for v in e.variables})
        self._by_term: dict[int, list[int]] = defaultdict(list)
        for n, rule in enumerate(rules):
            for number in rule.triggers:
                self._by_term[number].append(n)

    def match(self, scan: Scan, record: RecordA) -> list[Hit]:
        candidates = {n for number in scan.numbers for n in self._by_term.get(number, ())} if scan.numbers else set()
        if self._conditions is not None:
            candidates.update(self._conditions.match(record).held)
        if not candidates:
            return []
        met = [n for n in sorted(candidates) if self._rules[n].unmet(scan.numbers) is None]
        return [self._rules[n].hit(scan) for n in self._holding(met, record)]

    def _holding(self, met: list[int], record: RecordA) -> list[int]:
        """Those of `met` whose condition holds too; one that fails on the record counts as false."""
        if self._expressions.keys().isdisjoint(met):
            return met
        context = self._context.load(record)
        return [n for n in met if n not in self._expressions or _holds(self._expressions[n], context)]


class Matcher:
    """An immutable snapshot of rules. It belongs to one thread at a time: conditions are evaluated in place."""

    def __init__(self, rules: Sequence[CompiledRule], vocabulary: Vocabulary) -> None:
        """See `compile`."""
        self.rules = rules
        self._vocabulary = vocabulary
        self._sides = {s: _Side(s, [rule for rule in rules if s in rule.rule.streams]) for s in Stream}
        self._empty = frozenset(s for s in Stream if not any(s in rule.rule.streams for rule in rules))

    @classmethod
    def compile(cls, rules: Iterable[VersionedRule]) -> "Matcher":
        """A snapshot of those `rules` that are enabled. It may take a second for 10,000 of them: not on the loop.

        Raises:
            CompileError: which should be impossible for rules that were checked.
        """
        numbering = Numbering()
        compiled = [_compiled(rule, version, numbering) for rule, version in rules if rule.enabled]
        try:
            return cls(compiled, Vocabulary(numbering))
        except (RegexError, RegexSetError) as error:
            raise CompileError(None, str(error)) from error

    def match(self, stream: Stream, record: RecordA) -> list[Hit]:
        """The rules that hold for a record of `stream`, in the order that they were compiled in.

        Raises:
            RegexSetError: the engine gave up on this text.
        """
        if stream in self._empty:
            return []
        return self._sides[stream].match(self.scan(record.text), record)

    def match_singly(self, stream: Stream, record: RecordA) -> list[Hit]:
        """The same, each regex looked for by itself: slower by their number, but never given up."""
        return self.hits(self.scan_singly(record.text), stream, record)

    def hits(self, scan: Scan, stream: Stream, record: RecordA) -> list[Hit]:
        """The same for a record whose text was scanned already."""
        return self._sides[stream].match(scan, record)

    def scan(self, text: str) -> Scan:
        """All terms of all rules in `text`.

        Raises:
            RegexSetError: the engine gave up.
        """
        return self._vocabulary.scan(text)

    def scan_singly(self, text: str) -> Scan:
        """The same, each regex by itself."""
        return self._vocabulary.scan_singly(text)


def _compiled(rule: Rule, version: int, numbering: Numbering) -> CompiledRule:
    groups = {"any": numbering.of(rule), "all": numbering.of(rule.all), "none": numbering.of(rule.none)}
    return CompiledRule(rule, version, match_revision(rule), **groups)


def _expressions(stream: Stream, rules: Sequence[CompiledRule]) -> dict[int, Expression]:
    """The condition of each rule that has one.

    Raises:
        CompileError: of which rule it is no condition.
    """
    expressions = {}
    for n, rule in enumerate(rules):
        try:
            if rule.rule.when is not None:
                expressions[n] = parse(rule.rule.when, stream)
        except ExpressionError as error:
            raise CompileError(rule.rule.name, str(error)) from error
    return expressions


def _holds(expression: Expression, context: cel.Context) -> bool:
    try:
        return expression.evaluate(context)
    except FAILURES:
        return False
