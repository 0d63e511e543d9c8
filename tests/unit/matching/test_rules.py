"""Rules as people write them: what is taken, what is refused and how it is told, and what makes two alerts the same."""

import msgspec
import pytest

from common.alerts import Severity
from common.contracts import Stream
from matching.rules import MAX_KEYWORDS, Rule, Terms, alert_id, match_revision
from matching.rules_checks import CODES, InvalidRule, RuleProblem, check, parse

REFUNDS = {
    "name": "refunds",
    "streams": ["b"],
    "keywords": ["refund", "money back"],
    "regexes": [],
    "when": "number > 100.0",
    "severity": "warning",
    "destinations": ["ops"],
    "cooldown_seconds": 0,
    "group_seconds": 0,
}


def problems(**fields: object) -> tuple[RuleProblem, ...]:
    with pytest.raises(InvalidRule) as caught:
        parse({"name": "it", **fields}, destinations={"ops"})
    return caught.value.problems


def test_the_rule_of_the_design_is_taken() -> None:
    rule = parse(REFUNDS, destinations={"ops"})
    assert rule == Rule(
        name="refunds",
        streams=(Stream.B,),
        keywords=("refund", "money back"),
        when="number > 100.0",
        severity=Severity.WARNING,
        destinations=("ops",),
    )


def test_a_rule_of_one_line_is_taken() -> None:
    rule = parse({"name": "it", "keywords": ["refund"]})
    assert (rule.streams, rule.severity, rule.enabled) == ((Stream.A, Stream.B), Severity.WARNING, True)


def test_a_rule_is_the_same_after_a_way_through_the_log() -> None:
    rule = parse({**REFUNDS, "all": {"keywords": ["order"]}, "none": {"regexes": ["test"]}, "enabled": False})
    assert msgspec.json.decode(msgspec.json.encode(rule), type=Rule) == rule


def test_an_older_reader_takes_a_rule_of_a_newer_writer() -> None:
    assert msgspec.json.decode(b'{"name": "it", "keywords": ["x"], "since": "then"}', type=Rule).keywords == ("x",)


@pytest.mark.parametrize(
    ("fields", "field", "code", "says"),
    [
        ({"keywords": [""]}, "keywords[0]", "empty_keyword", "nothing is left of ''"),
        ({"keywords": ["x", " \u200b\n"]}, "keywords[1]", "empty_keyword", r"nothing is left of ' \u200b\n'"),
        ({"all": {"keywords": ["\ufe0f"]}}, "all.keywords[0]", "empty_keyword", "nothing is left"),
        ({"keywords": ["x" * 257]}, "keywords[0]", "keyword_too_long", "257 characters; 256"),
        ({"keywords": [f"k{n}" for n in range(100_000)]}, "keywords", "too_many", "100,000 keywords; 5,000"),
        ({"regexes": ["x"] * 101}, "regexes", "too_many", "101 regexes; 100"),
        ({"keywords": ["\U0001f44e" * 250 + str(n) for n in range(600)]}, "", "rule_too_large", "524,288 are the most"),
        ({"regexes": ["x" * 1024 * 1024]}, "regexes[0]", "regex_too_long", "1,048,576 bytes"),
        ({"regexes": [r"(a)\1"]}, "regexes[0]", "regex_refused", "backreference"),
        ({"regexes": [r"(?P<x>a)(?P=x)"]}, "regexes[0]", "regex_refused", "backreference"),
        ({"regexes": ["a(?=b)"]}, "regexes[0]", "regex_refused", "looks ahead or behind"),
        (
            {"keywords": ["x"], "none": {"regexes": ["(?<!a)b"]}},
            "none.regexes[0]",
            "regex_refused",
            "looks ahead or behind",
        ),
        ({"regexes": ["a++"]}, "regexes[0]", "regex_refused", "possessive"),
        ({"regexes": ["("]}, "regexes[0]", "regex_refused", "missing )"),
        ({"regexes": ["a{1001}"]}, "regexes[0]", "regex_refused", "more than 1,000 times"),
        ({"regexes": [r"\pL{1000}"]}, "regexes[0]", "regex_refused", "too large"),
        ({"regexes": [r"(\pL{1,9}\d){3}x"]}, "regexes[0]", "regex_too_large", "5,000 are the most"),
        ({"regexes": ["a*"]}, "regexes[0]", "regex_finds_nothing", "no character at all"),
        ({"regexes": [r"x|\b"]}, "regexes[0]", "regex_finds_nothing", "no character at all"),
        ({"regexes": ["(?m)$"]}, "regexes[0]", "regex_finds_nothing", "no character at all"),
        ({"regexes": ["ﬁne"]}, "regexes[0]", "regex_not_clean", r"'\ufb01'"),
        ({"regexes": ["e\u0301"]}, "regexes[0]", "regex_not_clean", "NFKC"),
        ({"regexes": [r"\bфид\b"]}, "regexes[0]", "regex_boundary", "ASCII"),
        ({"regexes": ["a\ud800"]}, "regexes[0]", "invalid_text", "surrogate"),
        ({"keywords": ["a\ud800"]}, "", "invalid_text", "surrogate"),
        ({"when": "nmber > 1.0"}, "when", "invalid_condition", "did you mean 'number'"),
        ({"when": "Stream_A_unique_identifier == 'x'"}, "when", "invalid_condition", "on stream a"),
        ({"keywords": ["x"], "severity": "hot"}, "severity", "unknown_severity", "'hot'"),
        ({"keywords": ["x"], "severity": 3}, "severity", "wrong_type", "got `int`"),
        ({"keywords": ["x"], "streams": ["b", "c"]}, "streams[1]", "unknown_stream", "'c'"),
        ({"keywords": ["x"], "streams": []}, "streams", "no_streams", "no stream"),
        ({"keywords": ["x"], "destinations": ["obs"]}, "destinations[0]", "unknown_destination", "'obs'"),
        ({"keywords": ["x"], "destinations": ["ops"] * 21}, "destinations", "too_many", "20 are the most"),
        ({"keywords": ["x"], "cooldown_seconds": -1}, "cooldown_seconds", "out_of_range", ">= 0"),
        ({"keywords": ["x"], "group_seconds": 10**9}, "group_seconds", "out_of_range", "<= 2592000"),
        ({"keywords": ["x"], "name": "a/b"}, "name", "invalid_name", "'a/b'"),
        ({"keywords": ["x"], "name": ""}, "name", "invalid_name", "''"),
        ({"keywords": "x"}, "keywords", "wrong_type", "got `str`"),
        ({"keywords": ["x", 1]}, "keywords[1]", "wrong_type", "got `int`"),
        ({"keywords": ["x"], "keyword": ["y"]}, "keyword", "unknown_field", "no field 'keyword'"),
        ({"keywords": ["x"], "none": {"regexs": []}}, "none.regexs", "unknown_field", "no field 'regexs'"),
        ({}, "", "nothing_to_find", "looks for nothing"),
        ({"none": {"keywords": ["x"]}}, "", "nothing_to_find", "looks for nothing"),
    ],
    ids=lambda value: ascii(value)[:50],
)
def test_a_bad_rule_is_refused_with_place_and_reason(
    fields: dict[str, object], field: str, code: str, says: str
) -> None:
    (problem,) = problems(**fields)
    assert (problem.field, problem.code) == (field, code)
    assert says in problem.detail
    assert problem.remedy
    assert code in CODES


def test_everything_that_is_wrong_is_told_at_once() -> None:
    found = problems(keywords=["", "x"], regexes=["("], severity="hot", destinations=["obs"], wen="1", when="1")
    assert sorted(problem.code for problem in found) == [
        "empty_keyword",
        "invalid_condition",
        "regex_refused",
        "unknown_destination",
        "unknown_field",
        "unknown_severity",
    ]


@pytest.mark.parametrize("body", [None, [], "x", 1])
def test_what_is_no_object_is_no_rule(body: object) -> None:
    with pytest.raises(InvalidRule) as caught:
        parse(body)
    assert caught.value.problems[0].code == "not_object"


def test_a_rule_without_a_name_is_told_so() -> None:
    with pytest.raises(InvalidRule) as caught:
        parse({"keywords": ["x"]})
    assert [(problem.field, problem.code) for problem in caught.value.problems] == [("name", "missing_field")]


def test_as_many_keywords_as_are_allowed_are_taken() -> None:
    assert check(Rule(name="it", keywords=tuple(f"word {n}" for n in range(MAX_KEYWORDS)))) == []


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        (Rule(name="it", keywords=("refund", "order"), cooldown_seconds=60, group_seconds=5), True),
        (Rule(name="it", keywords=("refund", "order"), severity=Severity.CRITICAL, destinations=("ops",)), True),
        (Rule(name="it", keywords=("refund", "order"), streams=(Stream.A,), enabled=False), True),
        (Rule(name="it", keywords=("Order", "REFUND", "refund ")), True),
        (Rule(name="other", keywords=("refund", "order")), True),
        (Rule(name="it", keywords=("refund",)), False),
        (Rule(name="it", keywords=("refund order",)), False),
        (Rule(name="it", keywords=("refund", "order"), when="true"), False),
        (Rule(name="it", all=Terms(keywords=("refund", "order"))), False),
        (Rule(name="it", keywords=("refund",), none=Terms(keywords=("order",))), False),
        (Rule(name="it", regexes=("refund", "order")), False),
    ],
)
def test_the_match_revision_changes_with_what_is_looked_for_alone(other: Rule, is_same: bool) -> None:  # noqa: FBT001  # a column
    assert (match_revision(other) == match_revision(Rule(name="it", keywords=("refund", "order")))) is is_same


def test_an_alert_has_the_same_id_when_all_that_names_it_is_the_same() -> None:
    one = ("it", "0123456789abcdef", Stream.B, "b-1", "a text")
    assert alert_id(*one) == alert_id(*one)
    others = [
        ("other", *one[1:]),
        (one[0], "f" * 16, *one[2:]),
        (*one[:2], Stream.A, *one[3:]),
        (*one[:3], "b-2", one[4]),
        (*one[:4], "another text"),
        (*one[:3], "b-1a", " text"),
    ]
    assert len({alert_id(*one), *(alert_id(*other) for other in others)}) == 7


def test_ids_and_revisions_are_what_they_always_were() -> None:
    """Another one would alert everybody again."""
    revision = match_revision(Rule(name="refunds", keywords=("Refund", "money back"), when="number > 100.0"))
    assert (revision, alert_id("refunds", revision, Stream.B, "b-1", "a refund")) == (
        "3ea36691a712cbf1",
        "21de75539dcba0fae5dda8a70def3930",
    )
