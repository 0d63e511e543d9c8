"""Which rules hold for a record, what a hit tells, and that hostile rules and texts cost no more than linear time."""
# ruff: noqa: RUF001  # letters that look like others are the point

import time
from collections.abc import Iterable

import pytest
import re2

from common.alerts import Span
from common.contracts import RecordA, RecordB, Stream
from matching.keywords import MAX_SPANS
from matching.matcher import CompileError, Hit, Matcher
from matching.regexes import Regex, RegexSet, RegexSetError
from matching.rules import Rule, Terms, VersionedRule, match_revision
from matching.rules_trial import samples


def b(text: str, number: float = 1.0) -> RecordB:
    return RecordB(id="b-1", a_id="a-1", number=number, text=text, event_time=0, ingested_at=0)


def compiled(*rules: Rule) -> Matcher:
    return Matcher.compile(VersionedRule(rule, 40 + n) for n, rule in enumerate(rules))


def names(hits: Iterable[Hit]) -> list[str]:
    return [hit.rule.name for hit in hits]


def test_a_hit_tells_rule_version_revision_and_spans_in_the_original() -> None:
    rule = Rule(name="refunds", keywords=("Refund", "money back"), regexes=(r"order-\d+",))
    (hit,) = compiled(rule).match(Stream.B, b("Order?\u200b order-4711: money\nback, a re\u00adfund!"))
    assert hit == Hit(
        rule,
        40,
        match_revision(rule),
        (
            Span("text", 8, 18, "order-4711", r"order-\d+"),
            Span("text", 20, 30, "money\nback", "money back"),
            Span("text", 34, 41, "re\u00adfund", "Refund"),
        ),
    )


@pytest.mark.parametrize(
    ("rule", "text", "number", "holds"),
    [
        (Rule(name="it", keywords=("x", "y")), "y", 1.0, True),
        (Rule(name="it", keywords=("x",), regexes=("z",)), "z", 1.0, True),
        (Rule(name="it", keywords=("x",), regexes=("z",)), "a", 1.0, False),
        (Rule(name="it", all=Terms(keywords=("x", "y"))), "y then x", 1.0, True),
        (Rule(name="it", all=Terms(keywords=("x", "y"))), "x", 1.0, False),
        (Rule(name="it", all=Terms(keywords=("x",), regexes=("z+",))), "x zz", 1.0, True),
        (Rule(name="it", all=Terms(keywords=("x",), regexes=("z+",))), "x", 1.0, False),
        (Rule(name="it", keywords=("x",), none=Terms(keywords=("y",))), "x", 1.0, True),
        (Rule(name="it", keywords=("x",), none=Terms(keywords=("y",))), "x y", 1.0, False),
        (Rule(name="it", keywords=("x",), none=Terms(regexes=("[0-9]",))), "x 1", 1.0, False),
        (Rule(name="it", keywords=("x",), all=Terms(keywords=("y",))), "y", 1.0, False),
        (Rule(name="it", keywords=("x",), when="number > 100.0"), "x", 101.0, True),
        (Rule(name="it", keywords=("x",), when="number > 100.0"), "x", 100.0, False),
        (Rule(name="it", when="number > 100.0"), "anything", 101.0, True),
        (Rule(name="it", when="number > 100.0"), "anything", 100.0, False),
        (Rule(name="it", when="number > 100.0", none=Terms(keywords=("x",))), "x", 101.0, False),
        (Rule(name="it", keywords=("x",), when="10 / int(number) > 1"), "x", 0.0, False),  # it fails: false
        (Rule(name="it", keywords=("x",), enabled=False), "x", 1.0, False),
        (Rule(name="it", keywords=("x",), streams=(Stream.A,)), "x", 1.0, False),
        (Rule(name="it", keywords=("x",)), "", 1.0, False),
    ],
)
def test_a_rule_holds_when_all_its_parts_do(rule: Rule, text: str, number: float, holds: bool) -> None:  # noqa: FBT001  # a column
    assert names(compiled(rule).match(Stream.B, b(text, number))) == (["it"] if holds else [])


def test_rules_that_share_terms_are_each_told_in_their_own_words() -> None:
    matcher = compiled(Rule(name="one", keywords=("Refund",)), Rule(name="two", all=Terms(keywords=("REFUND", "a"))))
    hits = matcher.match(Stream.B, b("a refund"))
    assert [(hit.rule.name, [span.pattern for span in hit.spans]) for hit in hits] == [
        ("one", ["Refund"]),
        ("two", ["a", "REFUND"]),
    ]


def test_a_record_of_a_is_matched_too() -> None:
    record = RecordA(id="a", number=1.0, text="x", event_time=0, ingested_at=0)
    assert names(compiled(Rule(name="it", keywords=("x",))).match(Stream.A, record)) == ["it"]


def test_no_rules_find_nothing() -> None:
    assert compiled().match(Stream.B, b("x")) == []


def test_a_regex_meets_the_clean_text_with_its_case() -> None:
    matcher = compiled(Rule(name="upper", regexes=("[A-Z]{3}-[0-9]+",)), Rule(name="any", regexes=("(?i)возврат",)))
    hits = matcher.match(Stream.B, b("ＡＢＣ-1\u200b2 abc-1 ВОЗВРАТ"))
    assert [(hit.rule.name, [span.text for span in hit.spans]) for hit in hits] == [
        ("upper", ["ＡＢＣ-1\u200b2"]),
        ("any", ["ВОЗВРАТ"]),
    ]


def test_a_text_of_nothing_but_hits_is_told_up_to_a_limit() -> None:
    (hit,) = compiled(Rule(name="it", keywords=("x",), regexes=("x+",))).match(Stream.B, b("x " * 30_000))
    assert len(hit.spans) == MAX_SPANS
    assert hit.spans[-1].start == MAX_SPANS - 2  # the keyword and the regex at each even place


# --- what cannot be -------------------------------------------------------------------------------------------------


def test_a_set_of_regexes_that_does_not_fit_is_an_error() -> None:
    patterns = [rf"(?i)\bword{n}[- ]?\d{{4,}}" for n in range(1000)]
    assert RegexSet(patterns).search("a word7-4711") == [7]
    with pytest.raises(RegexSetError, match="1,000 regexes do not fit"):
        RegexSet(patterns, max_bytes=1 << 16)


def test_an_answer_without_what_every_text_has_is_an_error() -> None:
    """When its memory runs out in the middle of a text, the engine's answer is that it found nothing."""
    regexes = RegexSet(["x"])
    regexes._set = re2.Set.SearchSet()
    regexes._set.Add("x")
    regexes._set.Compile()
    with pytest.raises(RegexSetError, match="gave up"):
        regexes.search("y")


@pytest.mark.parametrize("max_bytes", [110_000, 1 << 20])
def test_a_set_short_of_memory_finds_the_same(max_bytes: int) -> None:
    """It forgets its states and makes them again."""
    patterns = [f"[ab]*a[ab]{{{n}}}c" for n in range(10, 40)]
    text = "".join("ab"[n * n % 7 % 2] for n in range(5_000)) + "a" + "b" * 12 + "c"
    assert RegexSet(patterns, max_bytes).search(text) == RegexSet(patterns).search(text) != []


def test_rules_that_cannot_be_compiled_name_the_one_at_fault() -> None:
    with pytest.raises(CompileError) as caught:
        compiled(Rule(name="good", keywords=("x",)), Rule(name="bad", keywords=("x",), when="nmber > 1"))
    assert caught.value.rule == "bad"


# --- time -----------------------------------------------------------------------------------------------------------

HOSTILE = [
    ("(a+)+$", "a" * 65_000 + "!"),
    ("(a|a)*b", "a" * 65_000),
    ("(x+x+)+y", "x" * 65_000),
    (r"^(\w+\s?)*$", "a " * 32_000 + "!"),
    ("(.*)(.*)(.*)(.*)z", "a" * 65_000),
    ("a.*b|a", "a" * 65_000),
    ("(?:a|b)*a(?:a|b){12}c", "ab" * 32_000),
    ("(a?){50}a{50}", "a" * 65_000),
]


@pytest.mark.parametrize(("pattern", "text"), HOSTILE, ids=[pattern for pattern, _ in HOSTILE])
def test_a_hostile_regex_takes_time_in_proportion_to_the_text(pattern: str, text: str) -> None:
    """The longest text there can be: what goes back and forth over it would be at it for hours."""
    started = time.thread_time()
    compiled(Rule(name="it", regexes=(pattern,))).match(Stream.B, b(text))
    assert time.thread_time() - started < 2


def seconds(matcher: Matcher, text: str) -> float:
    rounds = []
    for _ in range(5):
        started = time.thread_time()
        matcher.match(Stream.B, b(text))
        rounds.append(time.thread_time() - started)
    return min(rounds)


def test_twice_the_text_takes_no_more_than_in_proportion() -> None:
    rule = Rule(name="it", keywords=("a", "a b"), regexes=("(?:a|b)*a(?:a|b){10}c", "a.*b|a"))
    matcher = compiled(rule)

    text = list(samples(rule))[-2]
    assert seconds(matcher, text[:60_000]) < 8 * seconds(matcher, text[:15_000]) + 0.01  # four times the text


def test_twice_the_hits_take_no_more_than_in_proportion() -> None:
    """A rule that holds looks at its own terms, not at all that others have found."""
    keywords = [f"w{n}x" for n in range(3_000)]
    matcher = compiled(*(Rule(name=keyword, keywords=(keyword,)) for keyword in keywords))
    assert len(matcher.match(Stream.B, b(" ".join(keywords)))) == 3_000
    few, many = " ".join(keywords[:300]), " ".join(keywords)
    assert seconds(matcher, many) < 25 * seconds(matcher, few) + 0.01  # ten times the hits


def test_regexes_find_what_is_not_empty_only() -> None:
    assert [tuple(found) for found in Regex("a*").find("baab")] == [(1, 3)]
