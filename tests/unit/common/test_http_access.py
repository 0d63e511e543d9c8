"""Who may call from a browser, what an answer tells it, and what is kept of administrative acts."""

from collections.abc import Callable

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Response
from structlog.testing import capture_logs

from common.contracts import Scope
from common.errors import Refused
from common.health import Health
from common.http.app import create_app
from common.http.auth import Caller, requires

KEY = {"authorization": "Bearer ann"}
MAY = {"ann": Scope.ADMIN, "bob": Scope.READ}


class Doorman:
    """Knows everyone but strangers, and lets each do one thing."""

    async def caller_of(self, token: str) -> Caller:
        if token not in MAY:
            raise Refused("unauthenticated", "no")
        return Caller(f"id-of-{token}", token, [MAY[token]])


class Full:
    """Has no more to give."""

    def admit(self, caller_id: str, size: int) -> None:
        raise Refused("rate_limited", f"{caller_id} sent {size}", retry_after_s=7)


def made(**options: object) -> FastAPI:
    app = create_app(
        "tested",
        title="t",
        description="d",
        authenticator=Doorman(),
        health=Health(),
        **options,  # type: ignore[arg-type]
    )
    ruled, read = (APIRouter(dependencies=[Depends(requires(scope))]) for scope in (Scope.ADMIN, Scope.READ))

    @ruled.delete("/things/{name}")
    async def remove(name: str) -> Response:
        return Response(name)

    @ruled.get("/things")
    async def show() -> Response:
        return Response("things")

    @read.post("/questions")
    async def ask() -> Response:
        return Response("answers")

    app.include_router(ruled)
    app.include_router(read)
    return app


@pytest.fixture
def client_of() -> Callable[..., httpx.AsyncClient]:
    def client(**options: object) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(made(**options)), base_url="http://x")

    return client


def asked(origin: str) -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": "DELETE",
        "access-control-request-headers": "authorization",
    }


async def test_no_page_may_call_unless_its_origin_is_set(client_of) -> None:
    """The browser is told nothing that would let it."""
    async with client_of() as client:
        preflight = await client.options("/things/a", headers=asked("https://a.example"))
        answer = await client.get("/things", headers=KEY | {"origin": "https://a.example"})
    assert preflight.status_code == 405
    assert not [name for one in (preflight, answer) for name in one.headers if name.startswith("access-control")]


async def test_pages_of_an_origin_that_is_set_may_call(client_of) -> None:
    """They and no others, and with a key that they have themselves, not with what the browser keeps."""
    async with client_of(origins=["https://a.example"]) as client:
        allowed = await client.options("/things/a", headers=asked("https://a.example"))
        refused = await client.options("/things/a", headers=asked("https://b.example"))
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://a.example")
    assert "access-control-allow-credentials" not in allowed.headers
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers


async def test_every_answer_keeps_browsers_from_guessing(client_of) -> None:
    """Errors, too."""
    async with client_of() as client:
        for answer in (await client.get("/healthz"), await client.get("/nowhere"), await client.get("/things")):
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["content-security-policy"] == "frame-ancestors 'none'"


async def test_who_has_had_a_share_is_told_when_to_come_back(client_of) -> None:
    """After it is known who it is, so that nobody can use up what is another's."""
    async with client_of(throttle=Full()) as client:
        answer = await client.request("DELETE", "/things/a", headers=KEY, content=b"12345")
        stranger = await client.request("DELETE", "/things/a", headers={"authorization": "Bearer stranger"})
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, "rate_limited", "7")
    assert answer.json()["detail"] == "id-of-ann sent 5"
    assert "retry_after_s" not in answer.json()
    assert stranger.status_code == 401


async def test_administrative_acts_are_told_with_who_did_them(client_of) -> None:
    """Changes alone: by whom, of what, with which outcome. Looking on, and questions of readers, are none."""
    with capture_logs() as lines:
        async with client_of() as client:
            for method, path in (("DELETE", "/things/a"), ("GET", "/things")):
                await client.request(method, path, headers=KEY)
            await client.post("/questions", headers={"authorization": "Bearer bob"})
            await client.delete("/things/b", headers={"authorization": "Bearer bob"})
    (act,) = [line for line in lines if line["event"] == "administrative_act"]
    assert {name: act[name] for name in ("who", "key_id", "method", "route", "target", "status")} == {
        "who": "ann",
        "key_id": "id-of-ann",
        "method": "DELETE",
        "route": "/things/{name}",
        "target": {"name": "a"},
        "status": 200,
    }
    (refused,) = [line for line in lines if line["event"] == "access_refused"]
    assert (refused["code"], refused["log_level"]) == ("forbidden", "warning")
