"""What callers ask of the windows, made out or refused in a way that helps."""

from typing import Any

import pytest

from common.contracts import Condition, Stream
from common.errors import Refused
from common.kafka.control import Versioned
from query_api.count_questions import Interpreter
from query_api.count_views import Asked
from windows.counts import Known
from windows.layout import HOUR_MS, MINUTE_MS, Generation, Layout
from windows.questions import Unit, Window
from windows.standing import ShardStanding, Standing

NOW_MS = 1_795_420_800_000
HORIZON_MS = 24 * HOUR_MS
BIG = Condition(name="big", stream=Stream.B, expression="number > 1", created_at=1, changed_at=1)
PER_A = Condition(name="per-a", stream=Stream.B, expression="number > 1", per_a=True, created_at=1, changed_at=1)


CONDITIONS = {"big": Versioned(BIG, 5), "per-a": Versioned(PER_A, 6)}


def interpreter() -> Interpreter:
    return Interpreter(CONDITIONS.get, CONDITIONS.values, NOW_MS)


def understand(asked: dict[str, Any], *, series: bool = False, filled: int = 100):
    conditions = {5: BIG, 6: PER_A}
    live = {(n, 0): 100 for n in conditions}
    standing = Standing(1, [ShardStanding(conditions, live, dict.fromkeys(live, filled))])
    layout = Layout("", Stream.B, Generation(shards=1, partitions=1, horizon_ms=HORIZON_MS))
    return interpreter().understand(Asked(**asked), Known(layout, standing, 0.0), "query", series=series)


@pytest.mark.parametrize(
    ("asked", "series", "window", "unit"),
    [
        ({}, False, Window(NOW_MS - 24 * HOUR_MS), Unit.ITEMS),
        ({"hours": 0.5}, False, Window(NOW_MS - HOUR_MS // 2), Unit.ITEMS),
        ({"hours": 24}, False, Window(NOW_MS - 24 * HOUR_MS), Unit.ITEMS),
        ({"hours": 1e-9}, False, Window(NOW_MS - 1), Unit.ITEMS),
        ({"hours": 1}, True, Window(NOW_MS - HOUR_MS), Unit.EVENTS),
        ({"hours": 1, "unit": Unit.ITEMS}, True, Window(NOW_MS - HOUR_MS), Unit.ITEMS),
        ({"hours": 1, "a_id": "a"}, True, Window(NOW_MS - HOUR_MS), Unit.ITEMS),
        ({"hours": 1, "unit": Unit.EVENTS}, False, Window(NOW_MS - HOUR_MS), Unit.EVENTS),
        ({"from_": str(NOW_MS - 7)}, False, Window(NOW_MS - 7), Unit.ITEMS),
        ({"from_": NOW_MS - 7, "to": NOW_MS}, False, Window(NOW_MS - 7, NOW_MS), Unit.ITEMS),
        (
            {"from_": "2026-11-23T07:00:00.001Z", "to": "2026-11-23T07:30:00.001Z"},
            False,
            Window(NOW_MS - HOUR_MS, NOW_MS - 29 * MINUTE_MS),
            Unit.EVENTS,
        ),
        (
            {"from_": "2026-11-23T07:00:00.001Z", "to": "2026-11-23T07:30:00.001Z", "condition": "big"},
            False,
            Window(NOW_MS - HOUR_MS + 1, NOW_MS - HOUR_MS // 2 + 1),
            Unit.ITEMS,
        ),
    ],
)
def test_a_question_is_made_out(asked: dict[str, Any], series: bool, window: Window, unit: Unit) -> None:  # noqa: FBT001
    """Items to the millisecond, events and series in whole minutes; the past of a whole stream is events."""
    question = understand(asked, series=series).question
    assert (question.window, question.unit) == (window, unit)


@pytest.mark.parametrize(
    ("asked", "at", "says"),
    [
        ({"hours": 0}, "query.hours", "greater than 0"),
        ({"hours": -1.0}, "query.hours", "greater than 0"),
        ({"hours": float("nan")}, "query.hours", "greater than 0"),
        ({"hours": float("inf")}, "query.hours", "greater than 0"),
        ({"hours": 24.01}, "query.hours", "windows reach back 24 hours"),
        ({"hours": 1, "from_": str(NOW_MS)}, "query.hours", "not both"),
        ({"to": str(NOW_MS)}, "query.to", "needs a `from`"),
        ({"from_": str(NOW_MS), "to": str(NOW_MS)}, "query.to", "not after `from`"),
        ({"from_": str(NOW_MS), "to": str(NOW_MS - 1)}, "query.to", "not after `from`"),
        ({"from_": str(NOW_MS - HORIZON_MS - 1)}, "query.from", "windows reach: 24 hours"),
        ({"from_": "2026-11-23T08:00:00"}, "query.from", "names no offset"),
        ({"from_": "yesterday"}, "query.from", "neither RFC 3339"),
        ({"unit": Unit.EVENTS, "a_id": "a"}, "query.unit", "whole stream only"),
        ({"unit": Unit.EVENTS, "condition": "big"}, "query.unit", "whole stream only"),
        ({"stream": Stream.A, "a_id": "a"}, "query.a_id", "has no parent"),
        ({"a_id": ""}, "query.a_id", "1 to 256 characters"),
        ({"a_id": "a\x00"}, "query.a_id", "no control characters"),
        ({"a_id": "a", "condition": "big"}, "query.condition", "not counted for each A"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(asked: dict[str, Any], at: str, says: str) -> None:
    with pytest.raises(Refused, match=says) as caught:
        understand(asked)
    assert caught.value.code == "invalid_parameter"
    assert caught.value.extra["errors"] == [{"at": at, "detail": caught.value.detail}]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"condition": "bigg"}, "Did you mean 'big'"),
        ({"condition": "zzz"}, "GET /v1/conditions lists"),
        ({"condition": "big", "stream": Stream.A}, "'big' is a condition on stream b"),
    ],
)
def test_an_unknown_condition_is_told(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says) as caught:
        understand(asked)
    assert caught.value.code == "unknown_condition"


def test_a_condition_names_its_revision() -> None:
    understood = understand({"condition": "per-a", "a_id": "a", "hours": 1})
    assert (understood.question.held, understood.revision, understood.complete) == ("per-a@6", 6, True)


def test_a_condition_that_is_being_filled_is_not_ready_or_partial() -> None:
    """Whoever asks decides."""
    with pytest.raises(Refused, match="40% done") as caught:
        understand({"condition": "big"}, filled=40)
    assert (caught.value.code, caught.value.extra) == ("not_ready", {"progress": 0.4})
    understood = understand({"condition": "big", "allow_partial": True}, filled=40)
    assert (understood.question.held, understood.complete) == ("big@5", False)


def test_a_series_has_only_so_many_steps() -> None:
    assert len(interpreter().steps(Window(NOW_MS - HOUR_MS, NOW_MS), 1, "query")) == 60
    with pytest.raises(Refused, match="makes 10,080 steps"):
        interpreter().steps(Window(NOW_MS - 168 * HOUR_MS, NOW_MS), 1, "query")
