"""The index of numeric conditions against CEL itself, evaluated one by one."""

import cel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.conditions_numeric import Interval, IntervalIndex, interval_of

OPERATORS = st.sampled_from(["<", "<=", ">", ">=", "=="])
# A few near values meet each other's ends far more often than any double would.
NEAR = st.sampled_from(["0", "0.0", "-0.0", "1", "1.0", "-1.5", "- 2", "1e0", "15e-1", "9007199254740991", "1.0E300"])
ANY = st.one_of(NEAR, st.integers(-(2**53) + 1, 2**53 - 1).map(str), st.floats(-1e12, 1e12).map(repr))
NUMBERS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.5, 1.5, -2.0, 9007199254740991.0, 1e300, 5e-324]),
    st.floats(allow_nan=False, allow_infinity=False),
)


@st.composite
def comparisons(draw: st.DrawFn) -> str:
    operator, constant = draw(OPERATORS), draw(ANY)
    text = draw(st.sampled_from([f"number {operator} {constant}", f"{constant} {operator} number"]))
    return draw(st.sampled_from([text, f"({text})", f"(({text}))  // why not"])) if "//" not in text else text


@st.composite
def expressions(draw: st.DrawFn) -> str:
    joined = "\n&& ".join(draw(st.lists(comparisons(), min_size=1, max_size=3)))
    return f"({joined}\n)" if draw(st.booleans()) else joined


@given(st.dictionaries(st.integers(), expressions(), max_size=8), st.lists(NUMBERS, min_size=1, max_size=8))
def test_the_index_holds_what_cel_holds(named: dict[int, str], numbers: list[float]) -> None:
    intervals = {key: interval_of(expression) for key, expression in named.items()}
    indexed = {key: interval for key, interval in intervals.items() if interval is not None}
    index = IntervalIndex(indexed.items())
    programs = {key: cel.compile(named[key]) for key in indexed}
    for number in numbers:
        by_cel = {key for key, program in programs.items() if program.execute({"number": number})}
        assert set(index.at(number)) == by_cel


@given(expressions())
def test_every_conjunction_of_comparisons_is_an_interval(expression: str) -> None:
    """Otherwise the property above would hold of an index that takes nothing."""
    interval = interval_of(expression)
    assert interval is not None or "e+" in expression or "E300" in expression


@pytest.mark.parametrize(
    "expression",
    [
        "number != 1.0",
        "number > 1.0 || number < 0.0",
        "!(number > 1.0)",
        "number > 9007199254740993",
        "number > 1u",
        "number > 0x10",
        "number > --5",
        "number > 1 - 5",
        "number - 1.0 > 5.0",
        "1 < number && number < size(text)",
        'number > 1.0 && text.contains("x")',
        'text == "number > 1.0"',
        "number",
        "true",
    ],
)
def test_anything_else_is_left_to_cel(expression: str) -> None:
    assert interval_of(expression) is None


def test_an_open_end_is_stronger_than_a_closed_one() -> None:
    assert interval_of("number >= 1.0 && number > 1 && 2 >= number && number < 2.0") == Interval(1.0, True, 2.0, True)


def test_a_thousand_thresholds_share_their_pieces() -> None:
    """Building it is linear in what it holds: a change of conditions must not stop the loop for a second."""
    index = IntervalIndex((n, Interval(low=float(n))) for n in range(1000))
    assert index.at(999.5) == tuple(range(1000))
    assert index.at(3.0) == (0, 1, 2)
    assert index.at(-1.0) == ()
