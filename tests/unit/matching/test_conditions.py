"""Conditions: what compiles, what is refused and where, and what happens to a record that one cannot take."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.contracts import RecordA, RecordB, Stream
from matching.conditions import parse
from matching.conditions_set import ConditionSet, Outcome
from matching.conditions_source import MAX_BYTES, ExpressionError
from matching.conditions_trial import BUDGET_S, admit


def b(number: float = 1.0, text: str = "", event_time: int = 1_795_420_800_000) -> RecordB:
    return RecordB(id="b-1", a_id="a-1", number=number, text=text, event_time=event_time, ingested_at=0)


@pytest.mark.parametrize(
    ("expression", "record", "holds"),
    [
        ("number > 100.0", b(100.5), True),
        ("number > 100", b(100.0), False),
        ('number > 100.0 && text.contains("refund")', b(200.0, "a refund"), True),
        ('unique_identifier == "b-1" && Stream_A_unique_identifier == "a-1"', b(), True),
        ('event_time >= timestamp("2026-11-23T08:00:00Z")', b(), True),
        ("event_time.getHours() == 8", b(), True),
        ('["money", "refund"].exists(w, text.contains(w))', b(text="refund"), True),
        ('text.matches("^ошиб")', b(text="ошибка"), True),
        ("event_time.getFullYear() == 9999", b(event_time=2**53), True),
        ("true", b(), True),
    ],
)
def test_a_condition_holds_for_a_record(expression: str, record: RecordB, holds: bool) -> None:  # noqa: FBT001  # a column
    conditions = ConditionSet(Stream.B, {"it": admit(expression, Stream.B)})
    assert conditions.match(record) == Outcome(("it",) if holds else ())


@pytest.mark.parametrize(
    ("expression", "line", "column", "says"),
    [
        ("", 1, 1, "the end of the expression"),
        ("number >", 1, 9, "the end of the expression"),
        ("number > 1.0 &&\n text ==", 2, 9, "the end of the expression"),
        ("number > 99999999999999999999", 1, 10, "invalid int literal"),
        ("nmber > 1.0", 1, 1, "did you mean 'number'"),
        ("true || nmber > 1.0", 1, 9, "did you mean 'number'"),
        ('text.contians("a")', 1, 6, "did you mean 'contains'"),
        ("number > 1.0 || abs(number) > 1.0", 1, 17, "no function 'abs'"),
        ("1 / 0 > 1", 1, 1, "division by zero"),
        ("number < 0.0 || (text == 'x' || 1 / 0 > 1)", 1, 33, "division by zero"),
        ("number > 1.0\n && 1 + 'a' == 2", 2, 5, "No such overload|Unsupported operation"),
        ("10 / int(number) > 1", 1, 1, "division by zero; tried on a record with number 0.0"),
        ("number", 1, 1, "it gives float, not true or false"),
        ("text.size", 1, 1, "tried on a record"),
        ("[1].map(x, x) == [1]", 1, 5, "no function 'map'"),
        ("[1].all(x, [2].all(y, y > x))", 1, 16, "within another walk"),
        ('text.matches("(")', 1, 1, "unclosed group"),
        ("(" * 200 + "true" + ")" * 200, 1, 65, "more than 64 deep"),
        ("[" * 200 + "]" * 200 + " == []", 1, 65, "more than 64 deep"),
        ("true?" * 200 + "true" + ":true" * 200, 1, 325, "one `[?]` too many"),
        ("true" + "?true:true" * 200, 1, 645, "one `[?]` too many"),
        ("true" + " || true" * 1279, 1, 1, f"10,236 bytes; {MAX_BYTES:,} are the most"),
        ("text + " * 300 + "text == ''", 1, 1, "one evaluation took"),
        ("text == '\ud800'", 1, 1, "surrogate"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(expression: str, line: int, column: int, says: str) -> None:
    with pytest.raises(ExpressionError, match=says) as caught:
        admit(expression, Stream.B)
    assert (caught.value.line, caught.value.column) == (line, column)


def test_an_a_has_no_parent() -> None:
    with pytest.raises(ExpressionError, match="no variable 'Stream_A_unique_identifier'"):
        admit("Stream_A_unique_identifier == 'a'", Stream.A)


@pytest.mark.parametrize("expression", ["number > 1.0", "true && " * 1200 + "true", "!" * 5000 + "true"])
def test_a_long_expression_that_is_cheap_is_welcome(expression: str) -> None:
    assert admit(expression, Stream.A).source == expression


def test_one_that_takes_long_is_refused_unless_something_came_between() -> None:
    """Whatever else the machine was doing once is not the expression's fault."""
    ticks, once = count(), iter([0.0, BUDGET_S * 2])
    with pytest.raises(ExpressionError, match="one evaluation took 22 ms, more than 20"):
        admit("true", Stream.B, timer=lambda: next(ticks) * BUDGET_S * 1.1)
    assert admit("true", Stream.B, timer=lambda: next(once, 0.0)).source == "true"


def test_a_condition_that_fails_on_a_record_is_false_and_told() -> None:
    conditions = ConditionSet(
        Stream.A,
        {"fails": parse("10 / int(number) > 1", Stream.A), "holds": parse("number == 0.0 || false", Stream.A)},
    )
    record = RecordA(id="a", number=0.0, text="", event_time=0, ingested_at=0)
    assert conditions.match(record) == Outcome(("holds",), ("fails",))


def test_a_former_record_leaves_no_trace() -> None:
    """The context is used again for each record."""
    conditions = ConditionSet(Stream.B, {"it": parse('text == "x" && number != 2.0', Stream.B)})
    held = [conditions.match(b(number, text)).held for number, text in [(1.0, "x"), (2.0, "x"), (1.0, "y"), (1.0, "x")]]
    assert held == [("it",), (), (), ("it",)]


def refusal(expression: str) -> ExpressionError | None:
    try:
        admit(expression, Stream.B)
    except ExpressionError as error:
        return error
    return None


@given(st.text(max_size=80))
def test_no_text_breaks_the_compiler(expression: str) -> None:
    error = refusal(expression)
    assert error is None or min(error.line, error.column) >= 1


@given(st.lists(st.sampled_from([*"()[]!-?:>1", "&&", "number", "text", ".", "size", '"x"', "true"])))
def test_no_heap_of_tokens_breaks_the_compiler(tokens: list[str]) -> None:
    error = refusal(" ".join(tokens))
    assert error is None or error.detail
