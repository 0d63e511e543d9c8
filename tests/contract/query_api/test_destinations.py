"""Destinations and silences over HTTP: what can be, what cannot, and that no secret ever comes back."""

import asyncio
import json
import secrets
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI

from common.contracts import ControlKind, Scope
from common.destinations import Silence
from common.sealing import Seal
from query_api.settings import QueryApiSettings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  # nobody's


@pytest_asyncio.fixture(scope="module")
async def ruler(client_of: Any, app: FastAPI) -> Any:
    """A client whose key may write rules, and read what it wrote."""
    token = (await app.state.parts.key_ring.make("ruler", [Scope.RULES, Scope.READ]))[1]
    async with client_of(token) as client:
        yield client


@pytest.fixture
def name() -> str:
    return f"d-{secrets.token_hex(4)}"


def a_webhook(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "kind": "webhook", "url": "https://ops.example.com/hook", **fields}


async def test_a_webhooks_secret_is_made_and_shown_once(
    ruler: httpx.AsyncClient, name: str, settings: QueryApiSettings, app: FastAPI
) -> None:
    """Then nobody can read it: neither over HTTP nor in the log."""
    made = await ruler.post("/v1/destinations", json=a_webhook(name))
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    secret = made.json()["secret"]
    assert secret.startswith("whsec_")
    listed = await ruler.get("/v1/destinations")
    shown = await ruler.get(f"/v1/destinations/{name}")
    assert secret[6:] not in listed.text + shown.text
    assert "secret" not in shown.json()
    kept = app.state.parts.destinations.get(name).value
    assert secret[6:] not in json.dumps(kept.secret)
    assert Seal(settings.secret_bytes).open(name, kept.secret) == secret


async def test_a_change_keeps_the_secret_that_it_does_not_name(
    ruler: httpx.AsyncClient, name: str, settings: QueryApiSettings, app: FastAPI
) -> None:
    """And makes a new version, so that one that was given up begins anew."""
    made = await ruler.post("/v1/destinations", json=a_webhook(name, secret=SECRET))
    assert made.json()["secret"] is None
    changed = await ruler.put(
        f"/v1/destinations/{name}", json={"url": "https://ops.example.com/other", "limit_per_hour": 5}
    )
    assert changed.json()["version"] > made.json()["version"]
    assert (changed.json()["url"], changed.json()["limit_per_hour"]) == ("https://ops.example.com/other", 5)
    seal = Seal(settings.secret_bytes)
    assert seal.open(name, app.state.parts.destinations.get(name).value.secret) == SECRET


async def test_a_rotation_leaves_two_secrets_for_a_while(
    ruler: httpx.AsyncClient, name: str, settings: QueryApiSettings, app: FastAPI
) -> None:
    """The new one is shown once; the former one goes on until then."""
    await ruler.post("/v1/destinations", json=a_webhook(name, secret=SECRET))
    rotated = await ruler.post(f"/v1/destinations/{name}/rotate", json={"keep_former_hours": 1})
    assert rotated.status_code == 200
    kept, seal = app.state.parts.destinations.get(name).value, Seal(settings.secret_bytes)
    assert seal.open(name, kept.secret) == rotated.json()["secret"]
    assert seal.open(name, kept.former_secret) == SECRET
    assert kept.former_until - kept.changed_at == pytest.approx(3_600_000, abs=60_000)


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"url": None}, "body.url"),
        ({"url": "http://ops.example.com/"}, "body.url"),
        ({"url": "ftp://ops.example.com/"}, "body.url"),
        ({"url": "https://user:word@ops.example.com/"}, "body.url"),
        ({"url": "https://ops.example.com:port/"}, "body.url"),
        ({"url": "http://127.0.0.1:9/"}, "body.url"),
        ({"secret": "whsec_short"}, "body.secret"),
        ({"secret": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "body.secret"),
        ({"token": "xoxb-1"}, "body.token"),
        ({"channel": "#a"}, "body.channel"),
        ({"mute": [{"start": "20:00", "end": "07:00", "zone": "Mars/Base"}]}, "body.mute[0].zone"),
        ({"kind": "slack"}, "body.url"),
        ({"kind": "slack", "url": None}, "body"),
        ({"kind": "slack", "url": None, "token": "xoxb-1"}, "body"),
        ({"kind": "slack", "url": None, "token": "secret", "channel": "#a"}, "body.token"),
        ({"kind": "slack", "url": None, "token": "xoxb-1", "channel": "#a", "secret": SECRET}, "body.secret"),
        ({"kind": "slack", "url": "https://hooks.slack.com/services/T/B/X", "token": "xoxb-1"}, "body"),
    ],
)
async def test_what_cannot_be_is_told_by_field(
    ruler: httpx.AsyncClient, name: str, fields: dict[str, Any], at: str
) -> None:
    """With what would be right."""
    answer = await ruler.post("/v1/destinations", json={k: v for k, v in a_webhook(name, **fields).items() if v})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_destination")
    assert answer.json()["errors"][0]["at"] == at


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "Big"},
        {"name": "a/b"},
        {"kind": "pager"},
        {"limit_per_hour": -1},
        {"mute": [{"start": "25:00", "end": "07:00"}]},
        {"retries": 3},
    ],
)
async def test_a_body_that_does_not_fit_is_refused(ruler: httpx.AsyncClient, name: str, fields: dict[str, Any]) -> None:
    """By its form, before anything else is looked at."""
    answer = await ruler.post("/v1/destinations", json=a_webhook(name) | fields)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_body")


async def test_names_are_taken_once(ruler: httpx.AsyncClient, name: str) -> None:
    """Two at the same time, too."""
    answers = await asyncio.gather(*(ruler.post("/v1/destinations", json=a_webhook(name)) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    assert {answer.json()["code"] for answer in answers if answer.is_error} == {"destination_exists"}


async def test_what_is_deleted_is_gone(ruler: httpx.AsyncClient, name: str) -> None:
    """And cannot be changed, rotated, tried or deleted again."""
    await ruler.post("/v1/destinations", json=a_webhook(name))
    assert (await ruler.delete(f"/v1/destinations/{name}")).status_code == 200
    for method, path, body in (
        ("GET", "", None),
        ("PUT", "", {"url": "https://ops.example.com/"}),
        ("DELETE", "", None),
        ("POST", "/rotate", {}),
        ("POST", "/test", None),
    ):
        answer = await ruler.request(method, f"/v1/destinations/{name}{path}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_destination"), method + path


async def test_slack_keeps_its_token_and_shows_its_channel(ruler: httpx.AsyncClient, name: str) -> None:
    """An app has a channel, an incoming webhook none; its URL is as secret as a token."""
    app = {"name": name, "kind": "slack", "token": "xoxb-very-secret", "channel": "#alerts"}
    made = await ruler.post("/v1/destinations", json=app)
    assert (made.status_code, made.json()["channel"], made.json()["url"]) == (201, "#alerts", None)
    url = "https://hooks.slack.com/services/T/B/very-secret"
    changed = await ruler.put(f"/v1/destinations/{name}", json={"url": url})
    assert (changed.json()["channel"], changed.json()["url"]) == (None, None)
    assert "very-secret" not in made.text + changed.text + (await ruler.get("/v1/destinations")).text


async def test_a_silence_is_made_listed_and_ended(ruler: httpx.AsyncClient) -> None:
    """For so many minutes, or until a moment."""
    made = await ruler.post("/v1/silences", json={"rule": "refunds", "minutes": 30, "comment": "moving"})
    assert (made.status_code, made.json()["state"]) == (201, "active")
    future = await ruler.post(
        "/v1/silences", json={"starts_at": "2090-01-01T00:00:00Z", "ends_at": "2090-01-01T02:00:00+01:00"}
    )
    assert (future.json()["state"], future.json()["ends_at"]) == ("future", "2090-01-01T01:00:00.000Z")
    path = f"/v1/silences/{made.json()['id']}"
    assert (await ruler.get(path)).json()["comment"] == "moving"
    assert made.json()["id"] in (await ruler.get("/v1/silences")).text
    assert (await ruler.delete(path)).status_code == 200
    assert (await ruler.get(path)).status_code == 404


async def test_silences_that_are_over_make_room(
    ruler: httpx.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that has been over for the longest first; those to come or in force stay, and may be too many."""
    book = app.state.parts.silences
    control = book._control
    for n in (2, 1):
        over = Silence(id=f"over-{n}", starts_at=0, ends_at=n, created_at=0)
        await control.put(ControlKind.SILENCE, over.id, over)
    monkeypatch.setattr("query_api.silence_book.MAX_SILENCES", len(book.all()))
    made = [await ruler.post("/v1/silences", json={"rule": "refunds", "minutes": 30}) for _ in range(3)]
    assert [one.status_code for one in made] == [201, 201, 409]
    assert made[2].json()["code"] == "too_many_silences"
    left = [silence.id for silence in book.all()]
    assert {one.json()["id"] for one in made[:2]} <= set(left)
    assert not {"over-1", "over-2"} & set(left)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"minutes": 5, "ends_at": "2090-01-01T00:00:00Z"},
        {"minutes": 0},
        {"ends_at": "2001-01-01T00:00:00Z"},
        {"ends_at": "tomorrow"},
        {"starts_at": "2090-01-02T00:00:00Z", "ends_at": "2090-01-01T00:00:00Z"},
    ],
)
async def test_a_silence_ends_once_and_later(ruler: httpx.AsyncClient, body: dict[str, Any]) -> None:
    """Anything else is a mistake, and would be found out too late."""
    answer = await ruler.post("/v1/silences", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_body")


async def test_control_holds_no_secret_in_the_clear(ruler: httpx.AsyncClient, name: str, app: FastAPI) -> None:
    """What anyone who can read the log would see of a token."""
    await ruler.post(
        "/v1/destinations", json={"name": name, "kind": "slack", "token": "xoxb-in-the-clear", "channel": "#a"}
    )
    entry = app.state.parts.destinations.get(name)
    assert "in-the-clear" not in repr(entry)
