"""Rules over HTTP: made, changed, disabled, deleted, listed; and what cannot be one is refused, all of it at once."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from common.contracts import ControlKind, Scope
from common.destinations import Destination, DestinationKind

REFUNDS = {"name": "refunds", "streams": ["b"], "keywords": ["refund", "money back"]}
IN_FULL = {
    "streams": ["b"],
    "keywords": ["refund", "money back"],
    "regexes": [],
    "all": {},
    "none": {},
    "when": None,
    "severity": "warning",
    "destinations": [],
    "cooldown_seconds": 0,
    "group_seconds": 0,
    "enabled": True,
}


@pytest_asyncio.fixture(scope="module")
async def author(
    client_of: Callable[[str | None], httpx.AsyncClient], tokens: dict[Scope, str]
) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(tokens[Scope.RULES]) as client:
        yield client


@pytest_asyncio.fixture(autouse=True)
async def no_rules(author: httpx.AsyncClient, reader: httpx.AsyncClient) -> AsyncIterator[None]:
    """Each test finds none, and leaves none."""
    yield
    for rule in (await reader.get("/v1/rules?limit=1000")).json()["items"]:
        await author.delete(f"/v1/rules/{rule['name']}")


async def refusal(client: httpx.AsyncClient, body: object) -> tuple[int, str, list[tuple[str, str]]]:
    """Status, code, and place and code of all that is wrong."""
    answer = await client.post("/v1/rules", content=json.dumps(body), headers={"Content-Type": "application/json"})
    problem = answer.json()
    assert len(problem["detail"]) < 1000
    errors = problem.get("errors", [])
    assert all(one["detail"] and one["remedy"] for one in errors)
    return answer.status_code, problem["code"], [(one["at"], one["code"]) for one in errors]


async def test_a_rule_is_made_changed_disabled_and_deleted(
    author: httpx.AsyncClient, reader: httpx.AsyncClient
) -> None:
    """Each write is a version of its own; what is looked for has a revision that other changes leave alone."""
    made = await author.post("/v1/rules", json=REFUNDS)
    assert (made.status_code, made.headers["location"]) == (201, "/v1/rules/refunds")
    rule = made.json()
    assert rule == {"name": "refunds", "version": rule["version"], "match_revision": rule["match_revision"], **IN_FULL}
    assert (await reader.get("/v1/rules/refunds")).json() == rule

    disabled = (await author.put("/v1/rules/refunds", json={**REFUNDS, "enabled": False})).json()
    assert not disabled["enabled"]
    assert disabled["version"] > rule["version"]
    assert disabled["match_revision"] == rule["match_revision"]
    same = (await author.put("/v1/rules/refunds", json={**REFUNDS, "enabled": False})).json()
    assert same == disabled
    changed = (await author.put("/v1/rules/refunds", json={"keywords": ["chargeback"], "severity": "critical"})).json()
    assert (changed["streams"], changed["severity"], changed["enabled"]) == (["a", "b"], "critical", True)
    assert changed["match_revision"] != rule["match_revision"]

    assert (await author.delete("/v1/rules/refunds")).json() == changed
    for gone in (await reader.get("/v1/rules/refunds"), await author.delete("/v1/rules/refunds")):
        assert (gone.status_code, gone.json()["code"]) == (404, "unknown_rule")
    put = await author.put("/v1/rules/refunds", json=REFUNDS)
    assert (put.status_code, put.json()["code"]) == (404, "unknown_rule")


async def test_a_rule_names_destinations_that_there_are(author: httpx.AsyncClient, app: FastAPI) -> None:
    """Made first, they are taken; a slip is told what it is near to."""
    ops = Destination(name="ops", kind=DestinationKind.WEBHOOK, url="x", secret="", created_at=0, changed_at=0)
    control = app.state.parts.rules._control
    await control.put(ControlKind.DESTINATION, "ops", ops)
    assert (await author.post("/v1/rules", json={**REFUNDS, "destinations": ["ops"]})).status_code == 201
    answer = await author.put("/v1/rules/refunds", json={**REFUNDS, "destinations": ["op"]})
    assert answer.json()["errors"][0]["remedy"] == "did you mean 'ops'?"
    await control.put(ControlKind.DESTINATION, "ops", None)


async def test_a_name_is_given_once(author: httpx.AsyncClient) -> None:
    """Also when two ask for it at the same time."""
    answers = await asyncio.gather(*(author.post("/v1/rules", json=REFUNDS) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
    assert {answer.json().get("code") for answer in answers} == {None, "rule_exists"}


async def test_the_name_in_the_address_is_the_rules(author: httpx.AsyncClient) -> None:
    await author.post("/v1/rules", json=REFUNDS)
    answer = await author.put("/v1/rules/refunds", json={**REFUNDS, "name": "other"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_rule")
    assert [(one["at"], one["code"]) for one in answer.json()["errors"]] == [("body.name", "invalid_name")]


async def test_rules_are_listed_by_name_page_by_page(author: httpx.AsyncClient, reader: httpx.AsyncClient) -> None:
    assert (await reader.get("/v1/rules")).json() == {"items": [], "next_cursor": None}
    for name in ("c", "a", "b", "B", "a.1"):
        assert (await author.post("/v1/rules", json={"name": name, "keywords": ["x"]})).status_code == 201
    seen, cursor = [], ""
    while cursor is not None:
        page = (await reader.get("/v1/rules", params={"limit": 2, "cursor": cursor})).json()
        seen.append([rule["name"] for rule in page["items"]])
        cursor = page["next_cursor"]
    assert seen == [["B", "a"], ["a.1", "b"], ["c"]]


@pytest.mark.parametrize(
    ("wrong", "errors"),
    [
        ({"keywords": [""]}, [("body.keywords[0]", "empty_keyword")]),
        ({"keywords": ["ok", " \u00ad\u200d\t"]}, [("body.keywords[1]", "empty_keyword")]),
        ({"keywords": ["x" * 257]}, [("body.keywords[0]", "keyword_too_long")]),
        ({"keywords": [f"word {n}" for n in range(100_000)]}, [("body.keywords", "too_many")]),
        ({"keywords": "refund"}, [("body.keywords", "wrong_type")]),
        ({"keywords": [1]}, [("body.keywords[0]", "wrong_type")]),
        ({"regexes": ["x" * 1_000_000]}, [("body.regexes[0]", "regex_too_long")]),
        ({"regexes": ["a"] * 101}, [("body.regexes", "too_many")]),
        ({"regexes": [r"(a)\1"]}, [("body.regexes[0]", "regex_refused")]),
        ({"regexes": ["(?P<x>a)(?P=x)"]}, [("body.regexes[0]", "regex_refused")]),
        ({"regexes": ["refund(?=ed)"]}, [("body.regexes[0]", "regex_refused")]),
        ({"regexes": ["(?<!no )refund"]}, [("body.regexes[0]", "regex_refused")]),
        ({"regexes": ["(?>a+)b"]}, [("body.regexes[0]", "regex_refused")]),
        ({"regexes": ["("]}, [("body.regexes[0]", "regex_refused")]),
        ({"regexes": ["((a{1,100}){1,100}){1,100}"]}, [("body.regexes[0]", "regex_refused")]),
        ({"regexes": [r"\pL{15}"]}, [("body.regexes[0]", "regex_too_large")]),
        ({"regexes": ["a*"]}, [("body.regexes[0]", "regex_finds_nothing")]),
        ({"regexes": ["ﬁ"]}, [("body.regexes[0]", "regex_not_clean")]),
        ({"regexes": [r"\bété\b"]}, [("body.regexes[0]", "regex_boundary")]),
        ({"all": {"regexes": ["["], "keywords": [" "]}}, [("body.all.keywords[0]", "empty_keyword")]),
        ({"when": "number >"}, [("body.when", "invalid_condition")]),
        ({"when": "Stream_A_unique_identifier == 'a-1'", "streams": ["a"]}, [("body.when", "invalid_condition")]),
        ({"when": "number"}, [("body.when", "invalid_condition")]),
        ({"when": "x" * 100_000}, [("body.when", "invalid_condition")]),
        ({"streams": []}, [("body.streams", "no_streams")]),
        ({"streams": ["c"]}, [("body.streams[0]", "unknown_stream")]),
        ({"severity": "fatal"}, [("body.severity", "unknown_severity")]),
        ({"cooldown_seconds": -1}, [("body.cooldown_seconds", "out_of_range")]),
        ({"group_seconds": 10**9}, [("body.group_seconds", "out_of_range")]),
        ({"destinations": ["d"] * 21}, [("body.destinations", "too_many")]),
        ({"destinations": ["nobody"]}, [("body.destinations[0]", "unknown_destination")]),
        ({"keyword": ["refund"]}, [("body.keyword", "unknown_field")]),
        ({"none": {"keyword": ["refund"]}}, [("body.none.keyword", "unknown_field")]),
        ({"name": "a b"}, [("body.name", "invalid_name")]),
        ({"name": "x" * 65}, [("body.name", "invalid_name")]),
        ({"name": None}, [("body.name", "wrong_type")]),
        ({"keywords": []}, [("body", "nothing_to_find")]),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_what_cannot_be_a_rule_is_refused(
    author: httpx.AsyncClient, wrong: dict[str, Any], errors: list[tuple[str, str]]
) -> None:
    """With where it is, a code of its own, and what would be right."""
    status, code, found = await refusal(author, {**REFUNDS, **wrong})
    assert (status, code) == (422, "invalid_rule")
    assert found[: len(errors)] == errors


async def test_everything_that_is_wrong_is_told_at_once(author: httpx.AsyncClient) -> None:
    """A hundred of it at most."""
    body = {"name": "?", "keywords": [""], "regexes": ["("], "severity": "x", "when": "y", "colour": 1}
    assert (await refusal(author, body))[2] == [
        ("body.colour", "unknown_field"),
        ("body.severity", "unknown_severity"),
        ("body.name", "invalid_name"),
        ("body.keywords[0]", "empty_keyword"),
        ("body.regexes[0]", "regex_refused"),
        ("body.when", "invalid_condition"),
    ]
    assert len((await refusal(author, {"name": "x", "keywords": [""] * 5000}))[2]) == 100


@pytest.mark.parametrize("body", [[], "x", 1, None])
async def test_what_is_no_object_is_no_rule(author: httpx.AsyncClient, body: object) -> None:
    assert await refusal(author, body) == (422, "invalid_rule", [("body", "not_object")])


async def test_what_is_too_large_to_look_at_is_refused_by_its_size(author: httpx.AsyncClient) -> None:
    answer = await author.post("/v1/rules", json={**REFUNDS, "regexes": ["x" * 5_000_000]})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


async def test_a_rule_that_would_sink_a_scanner_is_refused_with_its_cost(author: httpx.AsyncClient) -> None:
    """Alone it takes more than its share of a usual or of the longest text; the measured time is told."""
    hungry = [f"(?i)(?:[a-z]+ ?){{1,40}}{n}$" for n in range(100)]
    status, code, errors = await refusal(author, {**REFUNDS, "regexes": hungry})
    assert (status, code, errors) == (422, "invalid_rule", [("body", "too_costly")])


async def test_lookups_go_on_while_a_rule_is_tried(author: httpx.AsyncClient, reader: httpx.AsyncClient) -> None:
    """The trial is none of the event loop's business."""
    words = [f"word {n} of many" for n in range(5_000)]
    trial = asyncio.create_task(author.post("/v1/rules", json={"name": "large", "keywords": words}))
    answered = 0
    while not trial.done():
        assert (await reader.get("/v1/rules/none")).status_code == 404
        answered += 1
        await asyncio.sleep(0)  # a request that waits for nothing gives nobody else a turn
    assert trial.result().status_code == 201
    assert answered > 1
