"""Why not: the first thing that failed, and the text as the terms of the rule met it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.contracts import RecordB, Stream
from matching.explanation import Reason, explain
from matching.matcher import Matcher
from matching.rules import Rule, Terms, VersionedRule


def b(text: str, number: float = 1.0) -> RecordB:
    return RecordB(id="b-1", a_id="a-1", number=number, text=text, event_time=0, ingested_at=0)


def test_a_rule_that_holds_is_explained_step_by_step() -> None:
    rule = Rule(
        name="it",
        keywords=("refund", "x"),
        all=Terms(keywords=("order",)),
        none=Terms(keywords=("test",)),
        when="number > 0.5",
    )
    explanation = explain(rule, Stream.B, b("Order: re\u00adFUND"))
    assert explanation.matched
    assert [span.text for span in explanation.matches] == ["Order", "re\u00adFUND"]
    assert [(step.check, step.passed, step.reason) for step in explanation.explain] == [
        ("stream", True, None),
        ("any", True, None),
        ("all", True, None),
        ("none", True, None),
        ("when", True, None),
    ]
    assert explanation.folded == "order: refund"
    assert explanation.cleaned == "Order: reFUND"


@pytest.mark.parametrize(
    ("rule", "text", "check", "reason", "says"),
    [
        (Rule(name="it", keywords=("x",), enabled=False), "x", "enabled", Reason.DISABLED, "disabled"),
        (Rule(name="it", keywords=("x",), streams=(Stream.A,)), "x", "stream", Reason.STREAM, "of stream b"),
        (
            Rule(name="it", keywords=("fund",)),
            "my REfunds",
            "any",
            Reason.BOUNDARY,
            "'fund' stands at 5 to 9, but within 'REfunds'",
        ),
        (Rule(name="it", keywords=("refund",)), "a réfund", "any", Reason.FOLD, "'réfund' stands at 2 to 8"),
        (Rule(name="it", keywords=("refund",)), "a refu\u0302nd", "any", Reason.FOLD, "stands at 2 to 9"),
        (Rule(name="it", keywords=("email",)), "my e-mail", "any", Reason.FOLD, "'e-mail' stands at 3 to 9"),
        (Rule(name="it", keywords=("money back",)), "moneyback", "any", Reason.FOLD, "'moneyback'"),
        (Rule(name="it", keywords=("refund",)), "pre-fundamental", "any", Reason.ABSENT, "nowhere"),
        (Rule(name="it", keywords=("+++", "--")), "plus", "any", Reason.ABSENT, "none of 2 is there"),
        (Rule(name="it", keywords=("zzz", "fund")), "refund", "any", Reason.BOUNDARY, "none of 2 is there: 'fund'"),
        (Rule(name="it", regexes=("[A-Z]+-1",)), "abc-1", "any", Reason.CASE, "at 0 to 5 with (?i)"),
        (Rule(name="it", regexes=("[0-9]",)), "abc", "any", Reason.ABSENT, "found nowhere"),
        (Rule(name="it", all=Terms(keywords=("x", "y"))), "x", "all", Reason.ABSENT, "'y' is nowhere"),
        (
            Rule(name="it", keywords=("x",), none=Terms(regexes=("[0-9]",))),
            "x 1",
            "none",
            Reason.PRESENT,
            "'[0-9]' stands at 2 to 3",
        ),
        (Rule(name="it", keywords=("x",), when="number > 5.0"), "x", "when", Reason.CONDITION, "is false"),
        (Rule(name="it", keywords=("x",), when="1 / (int(number) - 1) > 0"), "x", "when", Reason.CONDITION, "fails"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_the_first_thing_that_failed_is_told(rule: Rule, text: str, check: str, reason: Reason, says: str) -> None:
    explanation = explain(rule, Stream.B, b(text))
    last = explanation.explain[-1]
    assert not explanation.matched
    assert explanation.matches == ()
    assert (last.check, last.passed, last.reason) == (check, False, reason)
    assert says in last.detail
    assert all(step.passed for step in explanation.explain[:-1])


words = st.sampled_from(["a", "A", "ab", "b", "é", "e", "-", " ", "返", "1"])


@given(
    st.lists(words, min_size=1, max_size=2).map("".join).filter(str.strip),
    st.lists(words, max_size=8).map("".join),
    st.sampled_from(["any", "all", "none"]),
)
def test_the_explanation_and_the_matcher_agree(keyword: str, text: str, group: str) -> None:
    terms = Terms(keywords=(keyword,))
    rule = {
        "any": Rule(name="it", keywords=terms.keywords),
        "all": Rule(name="it", all=terms),
        "none": Rule(name="it", when="true", none=terms),
    }[group]
    hits = Matcher.compile([VersionedRule(rule, 1)]).match(Stream.B, b(text))
    explanation = explain(rule, Stream.B, b(text))
    assert explanation.matched == bool(hits)
    assert [explanation.matches] == ([hit.spans for hit in hits] or [()])
