"""Queries in SQL over HTTP, as far as query-api goes: what is taken, refused, found again, cancelled and kept."""

import secrets
from typing import Any

import pytest
import pytest_asyncio

from common.analytics import JOBS, JobState
from common.contracts import Scope
from query_api.settings import QueryApiSettings

SQL = "select count(*) n from b"


@pytest_asyncio.fixture
async def analyst(app, client_of):
    """A key of its own, so that its history is its own too."""
    _, token = await app.state.parts.key_ring.make("analyst", [Scope.ANALYTICS])
    async with client_of(token) as client:
        yield client


async def asked(client, headers=None, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/v1/analytics/queries", json={"sql": SQL, **fields}, headers=headers or {})
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/analytics/queries/{found['id']}"
    return found


async def test_a_query_waits_and_is_found_again(analyst) -> None:
    """With what it asked; nobody runs it here."""
    parameters = {"least": 3, "wide": 2**40, "wider": 2**70, "many": [[None, 1.5, {"": True}]]}
    query = await asked(analyst, parameters=parameters, format="csv")
    assert (query["state"], query["parameters"], query["format"], query["error"]) == ("queued", parameters, "csv", None)
    assert (await analyst.get(f"/v1/analytics/queries/{query['id']}")).json() == query
    answer = await analyst.get(f"/v1/analytics/queries/{query['id']}/result")
    assert (answer.status_code, answer.json()["code"]) == (409, "query_not_done")


async def test_the_same_key_asks_once(analyst) -> None:
    """A repetition finds the first; another query under the key is refused."""
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    first = await asked(analyst, headers)
    assert (await asked(analyst, headers))["id"] == first["id"]
    answer = await analyst.post("/v1/analytics/queries", json={"sql": "select 1"}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_key_reused")
    assert (await asked(analyst))["id"] != first["id"]


async def test_history_is_the_keys_own(analyst, app, client_of) -> None:
    """Page by page, the newest first; another key finds nothing, by no id."""
    ids = [(await asked(analyst))["id"] for _ in range(5)]
    found, cursor = [], None
    while True:
        params = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await analyst.get("/v1/analytics/queries", params=params)).json()
        found += [query["id"] for query in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(found) == sorted(ids)
    _, token = await app.state.parts.key_ring.make("another", [Scope.ANALYTICS])
    async with client_of(token) as other:
        assert (await other.get("/v1/analytics/queries")).json()["items"] == []
        for method in ("GET", "DELETE"):
            assert (await other.request(method, f"/v1/analytics/queries/{ids[0]}")).status_code == 404


async def test_a_cancelled_query_stays_cancelled(analyst) -> None:
    query = await asked(analyst)
    for _ in range(2):
        cancelled = (await analyst.delete(f"/v1/analytics/queries/{query['id']}")).json()
        assert cancelled["state"] == "cancelled"
    answer = await analyst.get(f"/v1/analytics/queries/{query['id']}/result")
    assert (answer.status_code, answer.json()["code"]) == (409, "query_without_result")


async def test_a_key_may_have_so_many_open(analyst, settings: QueryApiSettings) -> None:
    """One more is refused until one of them ends."""
    queries = [await asked(analyst) for _ in range(settings.max_open_queries_per_key)]
    answer = await analyst.post("/v1/analytics/queries", json={"sql": SQL})
    assert (answer.status_code, answer.json()["code"]) == (429, "overloaded")
    assert "Retry-After" in answer.headers
    await analyst.delete(f"/v1/analytics/queries/{queries[0]['id']}")
    await asked(analyst)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"sql": SQL, "saved": "top-a"},
        {"sql": ""},
        {"sql": SQL, "format": "xml"},
        {"sql": SQL, "max_rows": 0},
        {"sql": SQL, "timeout_seconds": 0},
        {"sql": SQL, "parameters": 3},
        {"sql": SQL, "parameters": ["x" * 300_000]},
        {"sql": SQL, "snapshots": {"secrets": "1"}},
        {"sql": SQL, "snapshots": {"b_log": "one"}},
        {"sql": SQL, "snapshots": {"b_log": str(2**63)}},
        {"sql": SQL, "nonsense": 1},
    ],
)
async def test_what_does_not_fit_is_refused(analyst, body) -> None:
    answer = await analyst.post("/v1/analytics/queries", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_body")


async def test_a_saved_query_is_asked_by_its_name(analyst) -> None:
    """By whoever may; saved anew it is another from then on, and deleted nobody finds it."""
    name = f"q{secrets.token_hex(4)}"
    answer = await analyst.put(f"/v1/analytics/saved/{name}", json={"sql": SQL, "description": "How many B."})
    assert (answer.status_code, answer.json()["saved_by"]) == (200, "analyst")
    await analyst.put(f"/v1/analytics/saved/{name}", json={"sql": "select 2"})
    found = (await analyst.get("/v1/analytics/saved")).json()["items"]
    assert [one["sql"] for one in found if one["name"] == name] == ["select 2"]
    answer = await analyst.post("/v1/analytics/queries", json={"saved": name})
    assert answer.json()["sql"] == "select 2"
    assert (await analyst.delete(f"/v1/analytics/saved/{name}")).json()["sql"] == "select 2"
    for answer in (
        await analyst.get(f"/v1/analytics/saved/{name}"),
        await analyst.post("/v1/analytics/queries", json={"saved": name}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_result_that_was_deleted_is_gone(analyst, database) -> None:
    query = await asked(analyst)
    done = {"state": JobState.SUCCEEDED, "pages": 1, "rows": 1, "snapshots": {"b_log": 2**62}}
    await database[JOBS].update_one({"_id": query["id"]}, {"$set": done})
    answer = await analyst.get(f"/v1/analytics/queries/{query['id']}/result")
    assert (answer.status_code, answer.json()["code"]) == (410, "result_gone")
    answer = await analyst.get(f"/v1/analytics/queries/{query['id']}/result", params={"page": 1})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await analyst.get(f"/v1/analytics/queries/{query['id']}")).json()["snapshots"] == {"b_log": str(2**62)}
