"""A rule is timed before it is admitted."""

from itertools import count

import pytest

from common.contracts import MAX_TEXT_BYTES
from matching.rules import Rule
from matching.rules_checks import InvalidRule
from matching.rules_trial import USUAL_BUDGET_S, USUAL_CHARACTERS, admit, costs, samples


def test_a_usual_rule_is_admitted() -> None:
    rule = admit({"name": "it", "keywords": ["refund", "money back"], "regexes": [r"(?i)order[- ]?\d{4,}"]})
    assert rule.keywords == ("refund", "money back")
    assert min(costs(rule)).seconds > 0


@pytest.mark.parametrize(
    "fields",
    [
        {"keywords": ["x" + " x" * n for n in range(128)]},  # each is found wherever a longer one is
        {"regexes": [f"[ab]*a[ab]{{{n}}}c" for n in range(40, 100)]},  # together they have no end of states
        {"regexes": [r"(?:[a-z]+\d?){40}" + str(n) for n in range(100)]},
    ],
    ids=["nested", "states", "many"],
)
def test_a_rule_that_would_sink_the_scanner_is_refused_with_its_cost(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidRule) as caught:
        admit({"name": "it", **fields})
    (problem,) = caught.value.problems
    assert problem.code == "too_costly"
    assert "ms for a text of" in problem.detail
    assert "ms are the most" in problem.detail


def test_the_cost_is_measured_by_the_timer() -> None:
    """A tick of this one is a little more than a usual text may take."""
    ticks = count()
    with pytest.raises(InvalidRule, match=r"alone it takes 0.22 ms for a text of 200 characters; 0.2 ms are the most"):
        admit({"name": "it", "keywords": ["x"]}, timer=lambda: next(ticks) * USUAL_BUDGET_S * 1.1)


def test_one_disturbed_round_does_not_refuse_a_rule() -> None:
    ticks = iter([0.0, 2 * USUAL_BUDGET_S])  # of the first round; nothing takes any time afterwards
    assert admit({"name": "it", "keywords": ["x"]}, timer=lambda: next(ticks, 0.0)).name == "it"


def test_a_disabled_rule_is_timed_as_if_it_were_enabled() -> None:
    seconds = count()
    with pytest.raises(InvalidRule, match="alone it takes"):
        admit({"name": "it", "keywords": ["x"], "enabled": False}, timer=lambda: float(next(seconds)))


def test_samples_are_usual_and_as_long_as_texts_may_be() -> None:
    lengths = {len(text) for text in samples(Rule(name="it", keywords=("refund",)))}
    assert min(lengths) == USUAL_CHARACTERS
    assert max(lengths) == MAX_TEXT_BYTES
