"""Keys are made, listed and revoked over HTTP, and do what they say from then on."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio

from common.contracts import Scope
from common.health import Health
from common.kafka.topics import ensure_topics
from query_api.key_ring import KeyRing
from query_api.settings import QueryApiSettings
from query_api.wiring import assembled

ClientOf = Callable[[str], httpx.AsyncClient]


async def made(admin: httpx.AsyncClient, name: str = "a key", scopes: tuple[str, ...] = ("read",)) -> dict[str, Any]:
    answer = await admin.post("/v1/keys", json={"name": name, "scopes": scopes})
    assert answer.status_code == 201, answer.text
    key: dict[str, Any] = answer.json()
    return key


async def test_a_key_is_shown_once(admin: httpx.AsyncClient) -> None:
    """When it is made; afterwards everything but the token."""
    answer = await admin.post("/v1/keys", json={"name": "loader ü", "scopes": ["read", "ingest", "read"]})
    key = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/keys/{key['id']}"
    assert answer.headers["cache-control"] == "no-store"
    assert key["key"].startswith(f"tsk_{key['id']}_")
    shown = (await admin.get(answer.headers["location"])).json()
    assert shown == {name: value for name, value in key.items() if name != "key"}
    assert (shown["name"], shown["scopes"], shown["revoked_at"]) == ("loader ü", ["ingest", "read"], None)


async def test_a_key_opens_what_its_scopes_say(admin: httpx.AsyncClient, client_of: ClientOf) -> None:
    """As soon as it is answered."""
    key = await made(admin)
    async with client_of(key["key"]) as client:
        assert (await client.get("/v1/a/x/b")).status_code == 200
        assert (await client.get("/v1/keys")).status_code == 403


async def test_a_revoked_key_opens_nothing(admin: httpx.AsyncClient, client_of: ClientOf) -> None:
    """At once; it stays listed."""
    key = await made(admin)
    revoked = await admin.delete(f"/v1/keys/{key['id']}")
    assert revoked.status_code == 200
    assert revoked.json()["revoked_at"] >= key["created_at"]
    async with client_of(key["key"]) as client:
        assert (await client.get("/v1/a/x/b")).json()["code"] == "unauthenticated"
    listed = {one["id"]: one for one in (await admin.get("/v1/keys")).json()["items"]}
    assert listed[key["id"]] == revoked.json()


async def test_revoking_twice_changes_nothing(admin: httpx.AsyncClient) -> None:
    """The moment of the first time stays."""
    key = await made(admin)
    first, second = [(await admin.delete(f"/v1/keys/{key['id']}")) for _ in range(2)]
    assert second.status_code == 200
    assert first.json() == second.json()


async def test_the_list_has_the_oldest_first(admin: httpx.AsyncClient) -> None:
    """All of it, without secrets."""
    keys = [await made(admin, f"listed {n}") for n in range(3)]
    page = (await admin.get("/v1/keys")).json()
    created = [one["created_at"] for one in page["items"]]
    assert created == sorted(created)
    assert {key["id"] for key in keys} <= {one["id"] for one in page["items"]}
    assert page["next_cursor"] is None
    assert all(set(one) == {"id", "name", "scopes", "created_at", "revoked_at"} for one in page["items"])


async def test_an_admin_may_revoke_itself(admin: httpx.AsyncClient, client_of: ClientOf) -> None:
    """While another one stays."""
    key = await made(admin, "second admin", ("admin",))
    async with client_of(key["key"]) as client:
        assert (await client.delete(f"/v1/keys/{key['id']}")).status_code == 200
        assert (await client.get("/v1/keys")).status_code == 401


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"name": "x"}, "missing required field `scopes`"),
        ({"scopes": ["read"]}, "missing required field `name`"),
        ({"name": "x", "scopes": []}, "body.scopes: Expected `array` of length >= 1"),
        ({"name": "x", "scopes": ["rea"]}, "body.scopes[0]: Invalid enum value 'rea'"),
        ({"name": "x", "scopes": "read"}, "body.scopes: Expected `array`, got `str`"),
        ({"name": "", "scopes": ["read"]}, "body.name: Expected `str` of length >= 1"),
        ({"name": "x" * 101, "scopes": ["read"]}, "body.name: Expected `str` of length <= 100"),
        ({"name": "x\ny", "scopes": ["read"]}, "body.name: Expected `str` matching regex"),
        ({"name": 5, "scopes": ["read"]}, "body.name: Expected `str`, got `int`"),
        ({"name": "x", "scopes": ["read"], "expires": 1}, "unknown field `expires`"),
    ],
)
async def test_a_key_that_cannot_be(admin: httpx.AsyncClient, body: dict[str, Any], says: str) -> None:
    """Refused with what does not fit; nothing is made."""
    before = (await admin.get("/v1/keys")).json()
    answer = await admin.post("/v1/keys", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_body")
    assert says in answer.json()["detail"]
    assert (await admin.get("/v1/keys")).json() == before


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("key_id", ["0123456789ab", "x", "%2F", "a" * 5000, "%00"])
async def test_a_key_that_is_not_there(admin: httpx.AsyncClient, method: str, key_id: str) -> None:
    """Whatever its id."""
    answer = await admin.request(method, f"/v1/keys/{key_id}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "There is no key with the id" in answer.json()["detail"]


class Alone:
    """A deployment of its own, where the last admin key can be played with; two replicas of it."""

    def __init__(self, here: KeyRing, there: KeyRing, http: Callable[[str], httpx.AsyncClient]) -> None:
        self.here = here
        self.there = there
        self.http = http


@pytest_asyncio.fixture
async def alone(settings: QueryApiSettings) -> AsyncIterator[Alone]:
    own = settings.model_copy(update={"topic_prefix": f"alone-{secrets.token_hex(4)}."})
    await ensure_topics(own, partitions=1)
    stop = asyncio.Event()
    async with assembled(own, Health(), stop) as here, assembled(own, Health(), stop) as there:

        def http(token: str) -> httpx.AsyncClient:
            return httpx.AsyncClient(
                transport=httpx.ASGITransport(here),
                base_url="http://query-api",
                headers={"Authorization": f"Bearer {token}"},
            )

        yield Alone(here.state.parts.key_ring, there.state.parts.key_ring, http)


async def test_the_last_admin_key_stays(alone: Alone) -> None:
    """Nobody could make another one; keys with other scopes, and revoked admins, do not count."""
    key, token = await alone.here.make("root", [Scope.ADMIN])
    former, _ = await alone.here.make("former", [Scope.ADMIN])
    await alone.here.make("reader", [Scope.READ])
    await alone.here.revoke(former.id)
    async with alone.http(token) as client:
        refused = await client.delete(f"/v1/keys/{key.id}")
        assert (refused.status_code, refused.json()["code"]) == (409, "last_admin_key")
        assert "'root' is the last one in force with the scope admin" in refused.json()["detail"]
        await made(client, "heir", ("admin", "read"))
        assert (await client.delete(f"/v1/keys/{key.id}")).status_code == 200


async def test_two_requests_cannot_revoke_the_last_two(alone: Alone) -> None:
    """One of them finds itself the last."""
    keys = [(await alone.here.make(f"admin {n}", [Scope.ADMIN]))[0] for n in range(2)]
    done = await asyncio.gather(*(alone.here.revoke(key.id) for key in keys), return_exceptions=True)
    assert sorted(type(one).__name__ for one in done) == ["ApiKey", "Refused"]


async def test_replicas_follow_each_other(alone: Alone) -> None:
    """What one makes or revokes, the others know moments later."""
    key, _ = await alone.here.make("shared", [Scope.READ])
    await eventually(lambda: alone.there.all() == [key])
    revoked = await alone.there.revoke(key.id)
    await eventually(lambda: alone.here.all() == [revoked])


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # nobody tells when; the deadline is above
            await asyncio.sleep(0.02)
