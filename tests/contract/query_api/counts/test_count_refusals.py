"""Questions that no window can answer are refused with what would be right."""

from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.usefixtures("windows")


@pytest.mark.parametrize(
    ("query", "status", "code", "says"),
    [
        ("hours=0", 422, "invalid_parameter", "`hours` is a number greater than 0; 0.5 is half an hour"),
        ("hours=-1", 422, "invalid_parameter", "greater than 0"),
        ("hours=nan", 422, "invalid_parameter", "greater than 0"),
        ("hours=inf", 422, "invalid_parameter", "greater than 0"),
        ("hours=1e400", 422, "invalid_parameter", "greater than 0"),
        ("hours=ten", 422, "invalid_parameter", "query.hours: Input should be a valid number"),
        ("hours=24.001", 422, "invalid_parameter", "windows reach back 24 hours"),
        ("hours=1&hours=2", 422, "invalid_parameter", "'hours' is given 2 times"),
        ("from=2026-11-23T08:00:00", 422, "invalid_parameter", "names no offset"),
        ("from=2001-01-01T00:00:00Z", 422, "invalid_parameter", "further back than windows reach: 24 hours"),
        ("from=2090-01-02T00:00:00Z&to=2090-01-01T00:00:00Z", 422, "invalid_parameter", "`to` is not after `from`"),
        ("to=2026-11-23T08:00:00Z", 422, "invalid_parameter", "`to` needs a `from`"),
        ("hours=1&from=2026-11-23T08:00:00Z", 422, "invalid_parameter", "not both"),
        ("condition=nobody", 404, "unknown_condition", "There is no condition 'nobody' on stream b"),
        ("condition=" + "x" * 5_000, 404, "unknown_condition", "There is no condition 'xxx"),
        ("unit=events&a_id=a-1", 422, "invalid_parameter", "Events are counted for the whole stream only"),
        ("unit=things", 422, "invalid_parameter", "query.unit: Input should be 'items' or 'events'"),
        ("a_id=" + "x" * 257, 422, "invalid_parameter", "1 to 256 characters"),
        ("a_id=%00", 422, "invalid_parameter", "no control characters"),
        ("allow_partial=perhaps", 422, "invalid_parameter", "query.allow_partial: Input should be a valid boolean"),
        ("max_staleness_seconds=-1", 422, "invalid_parameter", "greater than or equal to 0"),
        ("max_staleness_seconds=nan", 422, "invalid_parameter", "query.max_staleness_seconds"),
        ("wait_for=AAAA", 422, "invalid_parameter", "The receipt is not one of ours"),
        ("timeout_ms=60000", 422, "invalid_parameter", "less than or equal to 30000"),
        ("hour=1", 422, "invalid_parameter", "Did you mean 'hours'?"),
    ],
)
async def test_a_question_that_does_not_fit(
    reader: httpx.AsyncClient, query: str, status: int, code: str, says: str
) -> None:
    """Counted at once or step by step, the answer is the same problem."""
    for path in ("/v1/counts/b", "/v1/counts/b/series"):
        answer = await reader.get(f"{path}?{query}")
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert says in answer.json()["detail"]
        assert answer.headers["content-type"] == "application/problem+json"
        assert len(answer.content) < 2_000


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("step_minutes=0", "query.step_minutes: Input should be greater than or equal to 1"),
        ("step_minutes=1&hours=24&unit=items&from=", "query.hours"),
        ("step_minutes=0.5", "query.step_minutes: Input should be a valid integer"),
    ],
)
async def test_a_series_that_does_not_fit(reader: httpx.AsyncClient, query: str, says: str) -> None:
    """Its steps are whole minutes."""
    answer = await reader.get(f"/v1/counts/b/series?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
    assert says in str(answer.json()["errors"]) + answer.json()["detail"]


@pytest.mark.parametrize(("path", "status"), [("/v1/counts/c", 422), ("/v1/counts", 404), ("/v1/counts/b/serie", 404)])
async def test_what_is_no_count(reader: httpx.AsyncClient, path: str, status: int) -> None:
    """There are a and b."""
    assert (await reader.get(path)).status_code == status


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ({"questions": []}, "invalid_body", "body.questions: Expected `array` of length >= 1"),
        ({"questions": [{}] * 101}, "invalid_body", "body.questions: Expected `array` of length <= 100"),
        ({}, "invalid_body", "missing required field `questions`"),
        ({"questions": [{"hour": 1}]}, "invalid_body", "unknown field `hour`"),
        ({"questions": [{"hours": "1"}]}, "invalid_body", "body.questions[0].hours: Expected"),
        ({"questions": [{"stream": "c"}]}, "invalid_body", "body.questions[0].stream: Invalid enum value"),
        ({"questions": [{}, {"hours": 0}]}, "invalid_parameter", "greater than 0"),
        ({"questions": [{}, {"condition": "nobody"}]}, "unknown_condition", "There is no condition 'nobody'"),
    ],
)
async def test_a_batch_that_does_not_fit(reader: httpx.AsyncClient, body: dict[str, Any], code: str, says: str) -> None:
    """One question that is wrong refuses all of them, by its place."""
    answer = await reader.post("/v1/counts/batch", json=body)
    assert answer.json()["code"] == code, answer.text
    assert says in answer.json()["detail"]
    if code == "invalid_parameter":
        assert answer.json()["errors"][0]["at"] == "body.questions[1].hours"
