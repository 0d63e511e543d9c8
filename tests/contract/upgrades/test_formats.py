"""What former versions wrote, in the log and in every store, is read and carried on by today's services."""

import asyncio
import json
from typing import Any

import httpx
import msgspec
import pytest

from common.contracts import Stream
from common.health import Health
from query_api.settings import QueryApiSettings
from query_api.wiring import assembled as query_api

STORES = ("mongo.jsonl", "redis.jsonl", "lake.jsonl")


async def dumps(deployment: Any) -> dict[str, Any]:
    found = (await deployment.documents(), await deployment.windows(), await deployment.lake())
    return dict(zip(STORES, found, strict=True))


def grown(kept: Any, found: Any) -> bool:
    """Whether all that was kept is there: what has fields may have more of them by now."""
    if isinstance(kept, dict) and isinstance(found, dict):
        return all(name in found and grown(value, found[name]) for name, value in kept.items())
    if isinstance(kept, list) and isinstance(found, list):
        return len(kept) == len(found) and all(map(grown, kept, found))
    return bool(kept == found)


def results(dump: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Without positions: today's scanner may write more into the log than that of then."""
    return [line for line in dump or [] if line.get("collection") != "positions"]


async def settled(deployment: Any, kept: dict[str, Any]) -> dict[str, Any]:
    """What the stores hold once they hold what was kept, or once nothing moves any more."""
    before, found = None, await dumps(deployment)
    while found != before and not all(grown(results(kept.get(name)), results(found[name])) for name in STORES):
        await asyncio.sleep(1.0)
        before, found = found, await dumps(deployment)
    return found


async def test_a_log_of_then_comes_to_what_it_came_to_then(deployment, kept, keeping) -> None:
    """Messages to their very bytes, headers and all, through every worker of today into empty stores."""
    await deployment.publish(kept["log.jsonl"])
    async with deployment.working():
        await deployment.caught_up(kept["log.jsonl"])
        found = await settled(deployment, kept)
    keeping(found)
    for name in STORES:
        assert grown(results(kept.get(name, found[name])), results(found[name])), name


async def test_stores_of_then_are_carried_on(deployment, kept) -> None:
    """Positions and all: what was taken in then is not taken in again, and what comes now is."""
    old = kept["log.jsonl"]
    await deployment.load(kept)
    await deployment.publish(old)
    moved = next(line for line in old if line["key"] == "b-1")
    newer = json.loads(moved["value"]) | {
        "text": "its third",
        "ingested_at": json.loads(moved["value"])["ingested_at"] + 100,
    }
    fresh = {**moved, "value": json.dumps(newer)}
    async with deployment.working():
        await deployment.publish([fresh])
        await deployment.caught_up([*old, fresh])
        found = await dumps(deployment)
    assert texts(found) == texts(kept) | {"b-1": "its third"}
    assert events(found) == events(kept) + 1
    assert len(found["redis.jsonl"]) >= len(kept["redis.jsonl"])
    alerts = [line for line in kept["mongo.jsonl"] if line["collection"] == "alerts"]
    assert grown(alerts, [line for line in found["mongo.jsonl"] if line["collection"] == "alerts"])


async def test_people_find_what_was_kept(deployment, kept) -> None:
    """Over HTTP, with a key of then: records, alerts with what was made of them, rules, destinations, silences."""
    await deployment.load(kept)
    await deployment.publish([line for line in kept["log.jsonl"] if line["topic"] == "control"])
    settings = QueryApiSettings(**deployment.where)
    async with query_api(settings, Health(), asyncio.Event()) as app:
        transport = httpx.ASGITransport(app)
        headers = {"Authorization": f"Bearer {deployment.token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://query-api", headers=headers) as http:
            answers = {path: (await http.get(f"/v1/{path}")).json() for path in PATHS}
            refused = await http.get("/v1/keys", headers={"Authorization": f"Bearer {deployment.revoked}"})
    assert refused.status_code == httpx.codes.UNAUTHORIZED
    for stream in Stream:
        for id_, text in texts(kept, stream).items():
            assert answers[f"{stream}/{id_}"]["text"] == text
    assert [one["name"] for one in answers["rules"]["items"]] == ["refunds"]
    assert [one["name"] for one in answers["destinations"]["items"]] == ["ops", "team"]
    assert [one["id"] for one in answers["silences"]["items"]] == ["0a1b2c3d"]
    assert [one["name"] for one in answers["conditions"]["items"]] == ["big"]
    assert {one["record"]["unique_identifier"] for one in answers["alerts"]["items"]} == {"b-3"}
    assert {one["state"] for one in answers["deliveries"]["items"]} == {"too_old"}
    assert [one["code"] for one in answers["rejected"]["items"]] == ["wrong_type"]


PATHS = (
    *("a/a-1", "a/4711", "b/b-1", "b/b-2", "b/b-3", "a/4711/b"),
    *("rules", "destinations", "silences", "conditions", "alerts", "deliveries", "rejected", "keys"),
)


async def test_what_a_newer_version_adds_is_passed_over(deployment, newest, later) -> None:
    """Fields, headers and kinds of entries that today's services do not know change nothing of what they do know."""
    log = [added(line, later) for line in newest["log.jsonl"]]
    log.insert(0, {"topic": "control", "key": f"{later}/x", "value": '{"id": "x"}', "headers": {}})
    await deployment.publish(log)
    async with deployment.working():
        await deployment.caught_up(log)
        found = await dumps(deployment)
    assert texts(found) == texts(newest)
    assert grown(newest["lake.jsonl"], found["lake.jsonl"])
    assert events(found) == events(newest)
    (alert,) = [line["document"] for line in found["mongo.jsonl"] if line["collection"] == "alerts"]
    assert msgspec.json.decode(alert["record"])[later] == {"in": "a later version"}, "it is handed on as it came"


def added(line: dict[str, Any], name: str) -> dict[str, Any]:
    """The message as a version would write it that has one more field; within an alert, the record has it too."""
    if line["value"] is None or line["topic"] == "records.rejected":
        return {**line, "headers": {**line["headers"], name: "1"}}
    value = json.loads(line["value"]) | {name: {"in": "a later version"}}
    if "record" in value:
        value["record"][name] = value[name]
    return {**line, "value": json.dumps(value), "headers": {**line["headers"], name: "1"}}


def texts(found: dict[str, Any], *streams: Stream) -> dict[str, str]:
    wanted = set(streams or Stream)
    return {
        line["document"]["_id"]: line["document"]["text"]
        for line in found["mongo.jsonl"]
        if line["collection"] in wanted
    }


def events(found: dict[str, Any]) -> int:
    """Records of B as the windows count them: each that ever came, once."""
    (panes,) = [line["value"] for line in found["redis.jsonl"] if line["key"] == "{b:00}:ev"]
    return sum(int(count) for pane, count in panes if pane.startswith("h"))


@pytest.mark.parametrize("store", STORES)
def test_every_kept_version_has_every_store(kept, store: str) -> None:
    """A version whose stores were not kept would be read by nobody."""
    assert kept[store]
