"""Counts over HTTP: of everything, of one A, by a condition, step by step, many at once, and only if fresh enough."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from common.receipts import encode_receipt
from windows.connection import Connection


@pytest.fixture(autouse=True)
def _told(windows: Any) -> None:
    """All is counted up to half a second ago, and three records came too late."""
    windows.tell(behind_s=0.5, late=3)
    windows.stand_at(20)


async def counted(reader: httpx.AsyncClient, path: str = "b", **asked: object) -> dict[str, Any]:
    answer = await reader.get(f"/v1/counts/{path}", params={name: str(value) for name, value in asked.items()})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_an_answer_says_what_was_counted_and_how_fresh_it_is(reader: httpx.AsyncClient) -> None:
    """Its unit, its window, as of when, and what came too late to be in any."""
    found = await counted(reader, hours=6)
    as_of, start = datetime.fromisoformat(found.pop("as_of")), datetime.fromisoformat(found.pop("window_start"))
    lag_s = found.pop("lag_seconds")
    assert found == {
        "count": 3,
        "unit": "items",
        "hours": 6.0,
        "window_end": None,
        "condition_revision": None,
        "complete": True,
        "late": 3,
    }
    assert 0.5 <= lag_s < 60
    assert as_of - start - timedelta(hours=6, seconds=-lag_s) < timedelta(seconds=1)


@pytest.mark.parametrize(
    ("asked", "count", "unit"),
    [
        ({}, 10, "items"),
        ({"hours": 0.5}, 0, "items"),
        ({"hours": 1.25}, 1, "items"),
        ({"hours": 24, "a_id": "a-0"}, 5, "items"),
        ({"hours": 8, "a_id": "a-1"}, 2, "items"),
        ({"hours": 24, "a_id": "of nobody"}, 0, "items"),
        ({"hours": 24, "unit": "events"}, 20, "events"),
        ({"hours": 4, "unit": "events"}, 4, "events"),
    ],
)
async def test_any_window_of_everything_or_of_one_a(
    reader: httpx.AsyncClient, asked: dict[str, Any], count: int, unit: str
) -> None:
    """Fractions of an hour too; a B that was sent twice is one item and two events."""
    found = await counted(reader, **asked)
    assert (found["count"], found["unit"]) == (count, unit)


async def test_a_window_between_two_moments(reader: httpx.AsyncClient) -> None:
    """The past of the whole stream is events by default, and items where they are asked for."""
    as_of = datetime.fromisoformat((await counted(reader))["as_of"])
    window = {"from": (as_of - timedelta(hours=6)).isoformat(), "to": (as_of - timedelta(hours=2)).isoformat()}
    events = await counted(reader, **window)
    assert (events["count"], events["unit"]) == (4, "events")
    assert events["window_end"].endswith(":00.000Z")  # whole minutes
    items = await counted(reader, **window, unit="items")
    assert (items["count"], items["unit"]) == (2, "items")


async def test_a_series_is_the_same_step_by_step(reader: httpx.AsyncClient) -> None:
    """Events as a whole, items of one A; the oldest step first, and all of them together the window."""
    series = await counted(reader, "b/series", hours=24, step_minutes=240)
    assert (series["unit"], series["step_minutes"], series["late"]) == ("events", 240, 3)
    assert sum(bucket["count"] for bucket in series["items"]) == 20
    starts = [bucket["start"] for bucket in series["items"]]
    assert starts == sorted(starts)
    assert starts[0] == series["window_start"]
    of_a = await counted(reader, "b/series", hours=24, a_id="a-1", step_minutes=240)
    assert (of_a["unit"], sum(bucket["count"] for bucket in of_a["items"])) == ("items", 5)


async def test_a_hundred_questions_are_one_round_trip(
    reader: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answered in their order, each as if it had been asked alone."""
    await counted(reader)  # what is known of the windows is fresh now
    calls: list[int] = []
    pipelined = Connection.pipelined

    async def watched(self: Connection, commands: Sequence[Any]) -> list[Any]:
        calls.append(len(commands))
        return await pipelined(self, commands)

    monkeypatch.setattr(Connection, "pipelined", watched)
    questions: list[dict[str, Any]] = [{"hours": n % 10 + 0.5, "a_id": f"a-{n % 2}"} for n in range(99)]
    answer = await reader.post("/v1/counts/batch", json={"questions": [*questions, {"unit": "events", "hours": 2}]})
    assert answer.status_code == 200, answer.text
    counts = [one["count"] for one in answer.json()["items"]]
    assert [n for n in calls if n > 100] == [201]  # two shards for each question, and how fresh they are
    monkeypatch.undo()
    alone = [(await counted(reader, **question))["count"] for question in questions[:10]]
    assert counts[:10] == alone
    assert counts[-1] == 2


async def test_rather_no_count_than_a_stale_one(reader: httpx.AsyncClient, windows: Any) -> None:
    """Whoever says how old a count may be gets a 503 instead of an older one, alone, as a series and among others."""
    asked = {"max_staleness_seconds": 30}
    assert (await counted(reader, **asked))["count"] == 10
    windows.tell(behind_s=60)
    body = {"questions": [{"hours": 1}]}
    for answer in (
        await reader.get("/v1/counts/b", params=asked),
        await reader.get("/v1/counts/b/series", params=asked),
        await reader.post("/v1/counts/batch", params=asked, json=body),
    ):
        assert (answer.status_code, answer.json()["code"]) == (503, "stale")
        assert answer.headers["retry-after"]
        assert "s behind; you would take 30 s" in answer.json()["detail"]
    assert (await counted(reader))["lag_seconds"] >= 60  # who does not mind is told
    windows.tell_nothing()
    unknown = await reader.get("/v1/counts/b", params=asked)
    assert (unknown.status_code, unknown.json()["code"]) == (503, "stale")
    assert "of unknown age" in unknown.json()["detail"]
    assert (await counted(reader))["as_of"] is None


async def test_a_count_waits_for_what_was_sent(reader: httpx.AsyncClient, windows: Any) -> None:
    """Until every shard is past the receipt, and for no longer than it may."""
    receipt = {"wait_for": encode_receipt({("records.b", 0): 20}), "timeout_ms": 50}
    for path, body in (("/v1/counts/b", None), ("/v1/counts/batch", {"questions": [{}]})):
        answer = await reader.request("GET" if body is None else "POST", path, params=receipt, json=body)
        assert (answer.status_code, answer.json()["code"]) == (504, "not_yet")
        assert "records.b/0 stands at 20" in answer.json()["detail"]
    windows.stand_at(21)
    assert (await counted(reader, **receipt))["count"] == 10


async def test_a_condition_that_is_being_filled(
    reader: httpx.AsyncClient, editor: httpx.AsyncClient, windows: Any, eventually: Any
) -> None:
    """Not ready and how far it is; in part for those who ask for that; and whole in the end, for each A too."""
    name = f"c-{secrets.token_hex(4)}"
    view = (await editor.post("/v1/conditions", json={"name": name, "expression": "number > 1", "per_a": True})).json()
    asked = {"condition": name, "hours": 6}
    held = windows.fill(view, up_to=25)
    windows.item("b-0", 1, "a-0", held)

    async def progressed() -> httpx.Response:
        answer = await reader.get("/v1/counts/b", params=asked)
        return httpx.Response(answer.json().get("progress") == 0.25, json=answer.json())

    refused = await eventually(progressed, 1)
    assert (refused["status"], refused["code"]) == (409, "not_ready")
    assert "25% done" in refused["detail"]
    partial = await counted(reader, **asked, allow_partial="true")
    assert (partial["count"], partial["complete"], partial["condition_revision"]) == (1, False, view["revision"])

    windows.item("b-1", 3, "a-1", held)
    windows.fill(view, up_to=100)
    whole = await eventually(lambda: reader.get("/v1/counts/b", params=asked), 200)
    assert (whole["count"], whole["complete"], whole["condition_revision"]) == (2, True, view["revision"])
    series = await counted(reader, "b/series", condition=name, step_minutes=60)
    assert sum(bucket["count"] for bucket in series["items"]) == 2


async def test_a_stream_without_windows_is_unavailable(reader: httpx.AsyncClient) -> None:
    """Before aggregates ran for the first time there is nothing to ask: not zero, but later."""
    answer = await reader.get("/v1/counts/a")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "there are no windows of stream A yet" in answer.json()["detail"]
