"""Rules are tried before they are trusted: on one record, and on those of the past in a process of their own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from fastapi import FastAPI

from common.clock import SystemClock
from common.contracts import RECORDS, ControlKind, RecordA, RecordB, Scope, Stream
from common.destinations import Destination, DestinationKind, Silence
from common.kafka.producer import Message, Producer
from query_api.settings import QueryApiSettings

RULE = {"keywords": ["refund"], "streams": ["b"], "when": "number > 100.0"}
HOUR_MS = 3_600_000


@pytest_asyncio.fixture(scope="module")
async def author(
    client_of: Callable[[str | None], httpx.AsyncClient], tokens: dict[Scope, str]
) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(tokens[Scope.RULES]) as client:
        yield client


async def tried(author: httpx.AsyncClient, rule: object, text: str, **record: object) -> dict[str, Any]:
    body = {"rule": rule, "stream": "b", "record": {"text": text, **record}}
    answer = await author.post("/v1/rules/test", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_what_holds_is_shown_with_its_places(author: httpx.AsyncClient) -> None:
    """In code points of the text as it was sent."""
    found = await tried(author, RULE, "🙂 REFUND, refund!", number=101)
    assert found["matched"]
    assert [(one["start"], one["end"], one["text"]) for one in found["matches"]] == [
        (2, 8, "REFUND"),
        (10, 16, "refund"),
    ]
    assert (found["folded"], found["cleaned"]) == ("🙂 refund, refund!", "🙂 REFUND, refund!")


@pytest.mark.parametrize(
    ("rule", "text", "number", "check", "reason"),
    [
        (RULE, "refunds", 101, "any", "boundary"),
        (RULE, "réfund", 101, "any", "fold"),
        (RULE, "nothing", 101, "any", "absent"),
        (RULE, "refund", 100, "when", "condition"),
        ({"regexes": ["refund"]}, "REFUND", 1, "any", "case"),
        ({"keywords": ["refund"], "streams": ["a"]}, "refund", 1, "stream", "stream"),
        ({"keywords": ["refund"], "none": {"keywords": ["no"]}}, "no refund", 1, "none", "present"),
        ({"keywords": ["refund"], "enabled": False}, "refund", 1, "enabled", "disabled"),
    ],
)
async def test_what_does_not_hold_is_explained(  # noqa: PLR0917  # a table
    author: httpx.AsyncClient, rule: dict[str, Any], text: str, number: float, check: str, reason: str
) -> None:
    """By the first thing that failed."""
    found = await tried(author, rule, text, number=number)
    assert not found["matched"]
    last = found["explain"][-1]
    assert (last["check"], last["passed"], last["reason"]) == (check, False, reason)
    assert all(step["passed"] for step in found["explain"][:-1])


async def test_a_rule_in_force_is_tried_by_its_name(author: httpx.AsyncClient) -> None:
    await author.post("/v1/rules", json={"name": "by-name", "keywords": ["refund"]})
    assert (await tried(author, "by-name", "refund"))["matched"]
    await author.delete("/v1/rules/by-name")
    answer = await author.post("/v1/rules/test", json={"rule": "by-name", "record": {"text": "refund"}})
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_rule")


@pytest.mark.parametrize(
    ("body", "status", "code", "at"),
    [
        ({"rule": {"keywords": [""]}, "record": {"text": "x"}}, 422, "invalid_rule", "body.rule.keywords[0]"),
        ({"rule": {"regexes": [r"(a)\1"]}, "record": {"text": "x"}}, 422, "invalid_rule", "body.rule.regexes[0]"),
        ({"rule": RULE, "record": {}}, 422, "invalid_body", "body.record.text"),
        ({"rule": RULE, "record": {"text": "x", "number": "1"}}, 422, "invalid_body", "body.record.number"),
        ({"rule": RULE, "record": {"text": "x" * 65_537}}, 422, "invalid_body", "body.record.text"),
        ({"rule": RULE, "record": {"text": "x", "colour": 1}}, 422, "invalid_body", "body.record.colour"),
        ({"rule": RULE}, 422, "invalid_body", "body"),
        ({"rule": 1, "record": {"text": "x"}}, 422, "invalid_body", "body.rule"),
        ({"rule": RULE, "stream": "c", "record": {"text": "x"}}, 422, "invalid_body", "body.stream"),
    ],
)
async def test_what_cannot_be_tried_is_refused(
    author: httpx.AsyncClient, body: dict[str, Any], status: int, code: str, at: str
) -> None:
    """With the place in the body."""
    answer = await author.post("/v1/rules/test", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["errors"][0]["at"] == at


@pytest.mark.parametrize(
    ("regex", "text"),
    [
        ("(a+)+$", "a" * 65_000 + "!"),
        ("(a|aa)+$", "a" * 65_000 + "!"),
        ("(?:x+x+)+y", "x" * 65_000),
        (r"(?:[a-z]+\d?){40}z", "abc" * 21_000),
    ],
)
async def test_a_hostile_regex_on_the_longest_text_is_answered(
    author: httpx.AsyncClient, regex: str, text: str
) -> None:
    """An engine that goes back would be at it until the end of the world."""
    async with asyncio.timeout(30):
        found = await tried(author, {"regexes": [regex]}, text)
    assert not found["matched"]


# --- the past -------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module")
async def others(author: httpx.AsyncClient) -> dict[str, int]:
    """Records that other tests have left in this log: in B alone, and in both streams."""
    asked = {"b": ["b"], "both": ["a", "b"]}
    return {
        name: (await looked_back(author, {"keywords": ["x"], "streams": s}))["records"] for name, s in asked.items()
    }


@pytest_asyncio.fixture(scope="module")
async def past(
    settings: QueryApiSettings,
    others: dict[str, int],  # noqa: ARG001  # they are counted before anything is added
) -> AsyncIterator[int]:
    """Two hours of records: sixty B that are sent twice, every third one a refund; an A; what is no record."""
    producer, now_ms = Producer(settings), SystemClock().now_ms()
    begin = (now_ms // HOUR_MS - 2) * HOUR_MS
    await producer.start()
    for sent in range(2):
        records = [_b(n, begin + n * 60_000 + sent * HOUR_MS) for n in range(60)]
        messages = [Message(r.id.encode(), msgspec.json.encode(r), r.ingested_at // 1000) for r in records]
        await producer.publish(RECORDS[Stream.B], messages)
    await producer.publish(RECORDS[Stream.B], [Message(b"x", b"no record", now_ms), Message(b"b-1", None, now_ms)])
    an_a = RecordA(id="a-1", number=1.0, text="refund", event_time=now_ms, ingested_at=now_ms * 1000)
    await producer.publish(RECORDS[Stream.A], [Message(b"a-1", msgspec.json.encode(an_a), now_ms)])
    yield begin
    await producer.stop()


def _b(n: int, at_ms: int) -> RecordB:
    text = f"refund {n}" if n % 3 == 0 else f"nothing {n}"
    return RecordB(id=f"b-{n}", a_id="a-1", number=float(n), text=text, event_time=at_ms, ingested_at=at_ms * 1000)


@pytest_asyncio.fixture(scope="module")
async def told(app: FastAPI, past: int) -> AsyncIterator[None]:
    """Destinations: one that takes all, one that takes two an hour, one that is silenced in the first hour."""
    control = app.state.parts.rules._control
    for name, limit in (("all", 0), ("few", 2), ("quiet", 0)):
        destination = Destination(
            name=name,
            kind=DestinationKind.WEBHOOK,
            url="x",
            secret="sealed",  # noqa: S106  # nobody's
            limit_per_hour=limit,
            created_at=0,
            changed_at=0,
        )
        await control.put(ControlKind.DESTINATION, name, destination)
    silence = Silence(id="s", destination="quiet", starts_at=0, ends_at=past + HOUR_MS // 2, created_at=0)
    await control.put(ControlKind.SILENCE, "s", silence)
    yield
    await control.put(ControlKind.SILENCE, "s", None)
    for name in ("all", "few", "quiet"):
        await control.put(ControlKind.DESTINATION, name, None)


async def looked_back(author: httpx.AsyncClient, rule: dict[str, Any], **asked: object) -> dict[str, Any]:
    answer = await author.post("/v1/rules/refunds/backtest", json={"hours": 24, "rule": rule, **asked})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.usefixtures("told")
async def test_the_past_tells_hits_alerts_samples_and_messages(
    author: httpx.AsyncClient, others: dict[str, int]
) -> None:
    """The same text sent again is a hit, and no alert; each destination has what its own settings leave."""
    rule = {"keywords": ["refund"], "streams": ["b"], "destinations": ["all", "few", "quiet"]}
    found = await looked_back(author, rule)
    assert (found["rule"], found["version"], found["complete"]) == ("refunds", None, True)
    assert (found["records"] - others["b"], found["hits"], found["alerts"]) == (120, 40, 20)
    assert [(hour["hits"], hour["alerts"]) for hour in found["hours"]] == [(20, 20), (20, 0)]
    assert len(found["samples"]) == 10
    sample = found["samples"][0]
    assert sample["record"]["text"].startswith("refund ")
    assert sample["matches"] == [{"field": "text", "start": 0, "end": 6, "text": "refund", "pattern": "refund"}]
    messages = {one["name"]: (one["messages"], one["busiest_hour"]) for one in found["destinations"]}
    assert messages["all"] == (20, 20)
    assert messages["quiet"] == (10, 10)
    assert messages["few"][0] < 20
    assert messages["few"][1] <= 3  # two of the first hour, then what waited, in one


@pytest.mark.usefixtures("told")
async def test_cooldown_and_grouping_are_foretold(author: httpx.AsyncClient) -> None:
    """Hits come every three minutes: a cooldown of an hour leaves one, windows of ten minutes make digests."""
    rule = {"keywords": ["refund"], "streams": ["b"], "destinations": ["all"]}
    cooled = await looked_back(author, {**rule, "cooldown_seconds": 3600})
    grouped = await looked_back(author, {**rule, "group_seconds": 600})
    assert cooled["destinations"][0]["messages"] == 1
    assert 5 <= grouped["destinations"][0]["messages"] <= 12


@pytest.mark.usefixtures("past")
async def test_a_rule_in_force_is_tried_as_it_is(author: httpx.AsyncClient, others: dict[str, int]) -> None:
    """With its version, on both streams, even while it is disabled."""
    body = {"name": "past", "keywords": ["refund"], "enabled": False}
    made = (await author.post("/v1/rules", json=body)).json()
    answer = (await author.post("/v1/rules/past/backtest", json={})).json()
    found = (answer["version"], answer["records"] - others["both"], answer["hits"])
    assert found == (made["version"], 121, 41)
    await author.delete("/v1/rules/past")
    gone = await author.post("/v1/rules/past/backtest", json={})
    assert (gone.status_code, gone.json()["code"]) == (404, "unknown_rule")


@pytest.mark.usefixtures("past")
async def test_of_too_many_records_the_newest_are_looked_at(author: httpx.AsyncClient) -> None:
    """It says since when; and that this is not all that was asked for."""
    found = await looked_back(author, {"keywords": ["refund"], "streams": ["b"]}, max_records=30)
    assert not found["complete"]
    assert found["records"] < 31
    assert found["window_start"] > found["hours"][0]["start"]


@pytest.mark.parametrize(
    ("body", "code", "at"),
    [
        ({"rule": {"keywords": [""]}}, "invalid_rule", "body.rule.keywords[0]"),
        ({"rule": {"name": "other", "keywords": ["x"]}}, "invalid_rule", "body.rule.name"),
        ({"rule": {"keywords": ["x"], "destinations": ["no"]}}, "invalid_rule", "body.rule.destinations[0]"),
        ({"hours": 0}, "invalid_body", "body.hours"),
        ({"hours": 10_000}, "invalid_body", "body.hours"),
        ({"max_records": 10**7}, "invalid_body", "body.max_records"),
        ({"timeout_seconds": 3600}, "invalid_body", "body.timeout_seconds"),
    ],
)
async def test_a_backtest_that_cannot_be_is_refused(
    author: httpx.AsyncClient, body: dict[str, Any], code: str, at: str
) -> None:
    answer = await author.post("/v1/rules/new/backtest", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert answer.json()["errors"][0]["at"] == at


async def test_only_so_many_wait_for_their_turn(author: httpx.AsyncClient, app: FastAPI) -> None:
    """While one is at work four more may wait; the next one is asked to come again."""
    body, backtests = {"hours": 0.001, "rule": {"keywords": ["x"]}}, app.state.parts.backtests
    async with backtests._turn:
        waiting = [asyncio.create_task(author.post("/v1/rules/new/backtest", json=body)) for _ in range(4)]
        while backtests._waiting < 4:
            await asyncio.sleep(0.005)
        refused = await author.post("/v1/rules/new/backtest", json=body)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert (refused.status_code, refused.json()["code"]) == (429, "overloaded")
    assert refused.headers["retry-after"]
    assert backtests._waiting == 0
