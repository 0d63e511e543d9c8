"""A new rule is timed on sample texts before it may meet real ones: alone, it must leave a scanner its speed."""

import re
import time
from collections.abc import Callable, Iterator
from hashlib import shake_256
from itertools import chain
from typing import Final, NamedTuple

from msgspec.structs import replace

from common.contracts import MAX_TEXT_BYTES, RecordA, RecordB, Stream
from matching.matcher import Matcher
from matching.rules import Rule, VersionedRule
from matching.rules_checks import InvalidRule, RuleProblem, parse

USUAL_CHARACTERS: Final = 200
USUAL_BUDGET_S: Final = 200e-6
"""What a rule may take for a text of `USUAL_CHARACTERS`: alone it would still let 5,000 records a second through."""
LONGEST_BUDGET_S: Final = 0.1
"""What it may take for the longest text there can be; of longer than usual ones, as much for each character."""

Timer = Callable[[], float]

_ROUNDS: Final = 3
_HOPELESS: Final = 5  # so far beyond the budget, measuring again changes nothing
_WORD: Final = re.compile(r"\w+")
_OWN_WORDS: Final = 100
# The last has nothing to tell one place from another by: it drives an automaton through as many states as it has.
_TEXTS: Final = (
    "The parcel arrived on Tuesday with the box crushed; I would like to return it, or get my money back. ",
    "Заказ 4711-0815 пришёл во вторник, коробка была смята; хочу вернуть заказ или получить деньги обратно. ",
    "荷物は火曜日に届きましたが、箱が潰れていました。返品するか、返金してもらいたいです。",
    "id=8f14e45f-ceea-467a-9575 at 2026-11-23T08:00:00.000Z: 12.5 EUR, 3x retry, status 502/503/504, ok@example.com ",
    format(int.from_bytes(shake_256().digest(MAX_TEXT_BYTES // 8), "big"), "b").translate({48: "a", 49: "b"}),
)


class Cost(NamedTuple):
    """What a rule takes for one text, in seconds of this thread."""

    seconds: float
    text: str

    @property
    def budget(self) -> float:
        longer = len(self.text) > USUAL_CHARACTERS
        return LONGEST_BUDGET_S * len(self.text) / MAX_TEXT_BYTES if longer else USUAL_BUDGET_S

    @property
    def is_too_much(self) -> bool:
        return self.seconds > self.budget


def admit(body: object, destinations: frozenset[str] | None = None, timer: Timer = time.thread_time) -> Rule:
    """A new rule out of decoded JSON, checked and timed; see `matching.rules_checks.check` for `destinations`.

    Raises:
        InvalidRule: with everything that is wrong.
    """
    rule = parse(body, destinations)
    for cost in costs(rule, timer):
        if cost.is_too_much:
            raise InvalidRule([_too_costly(cost)])
    return rule


def costs(rule: Rule, timer: Timer = time.thread_time) -> Iterator[Cost]:
    """What `rule` takes for each sample, longer and longer ones: whoever has seen enough stops asking."""
    matcher = Matcher.compile([VersionedRule(replace(rule, enabled=True), 0)])
    for text in samples(rule):
        yield _cost(matcher, rule.streams[0], text, timer)


def samples(rule: Rule) -> Iterator[str]:
    """Usual texts, then longer ones, up to the longest; among those one that consists of the rule's own words."""
    for text in _TEXTS:
        yield _filled(text, USUAL_CHARACTERS)
    own = " ".join(list(chain(rule.keywords, rule.all.keywords, *map(_WORD.findall, _patterns(rule))))[:_OWN_WORDS])
    for characters in (1024, 4 * 1024, 16 * 1024, MAX_TEXT_BYTES):
        for text in (*_TEXTS, own + " "):
            yield _filled(text, characters)


def _patterns(rule: Rule) -> tuple[str, ...]:
    return (*rule.regexes, *rule.all.regexes, *rule.none.regexes)


def _filled(text: str, characters: int) -> str:
    """`text` again and again, up to so many characters and no more bytes than a record may have."""
    repeated = (text * (characters // len(text) + 1))[:characters]
    return repeated.encode()[:MAX_TEXT_BYTES].decode("utf-8", "ignore")


def _record(stream: Stream, text: str) -> RecordA:
    if stream is Stream.A:
        return RecordA(id="a-1", number=1.0, text=text, event_time=0, ingested_at=0)
    return RecordB(id="b-1", a_id="a-1", number=1.0, text=text, event_time=0, ingested_at=0)


def _cost(matcher: Matcher, stream: Stream, text: str, timer: Timer) -> Cost:
    """The cost of `text`; one that is too much is measured again, in case something came between."""
    record = _record(stream, text)
    rounds = []
    for _ in range(_ROUNDS):
        started = timer()
        matcher.match(stream, record)
        rounds.append(Cost(timer() - started, text))
        if not rounds[-1].is_too_much or rounds[-1].seconds > _HOPELESS * rounds[-1].budget:
            break
    return min(rounds)


def _too_costly(cost: Cost) -> RuleProblem:
    detail = (
        f"alone it takes {_milliseconds(cost.seconds)} for a text of {len(cost.text):,} characters; "
        f"{_milliseconds(cost.budget)} are the most"
    )
    return RuleProblem("", "too_costly", detail, "ask for less: fewer or simpler regexes, a simpler condition")


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"
