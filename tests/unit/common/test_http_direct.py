"""Direct routes answer as the framework's own would."""

from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest_asyncio
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.routing import APIRoute

from common.contracts import Scope
from common.errors import Refused
from common.http import problems
from common.http.auth import Caller, caller_of, requires
from common.http.direct import Direct

GIVEN = {"authorization": "Bearer me", "password": "open"}


async def guard(request: Request, wait_ms: Annotated[int, Query(ge=0)] = 7) -> None:
    if request.headers.get("password") != "open":
        raise Refused("forbidden", "no")
    request.state.waited_ms = wait_ms


class AnyKey:
    """Knows every key."""

    async def caller_of(self, token: str) -> Caller:
        return Caller(token, token, [Scope.READ])


def made(route_class: type) -> FastAPI:
    guards = [Depends(requires(Scope.READ)), Depends(guard)]
    app, router = FastAPI(), APIRouter(route_class=route_class, dependencies=guards)
    app.state.authenticator, app.state.throttle = AnyKey(), None

    @router.get("/{name}")
    async def answer(request: Request, name: str, times: Annotated[int, Query(le=9)] = 1) -> Response:
        return Response(f"{name * times} after {request.state.waited_ms} for {caller_of(request).name}")

    app.include_router(router)
    problems.install(app)
    return app


@pytest_asyncio.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(made(Direct))
    async with httpx.AsyncClient(transport=transport, base_url="http://x", headers=GIVEN) as client:
        yield client


async def test_defaults_stand_for_parameters_that_are_not_given(client: httpx.AsyncClient) -> None:
    """Of the endpoint and of what guards it."""
    assert (await client.get("/a")).text == "a after 7 for me"


async def test_parameters_are_read_and_checked(client: httpx.AsyncClient) -> None:
    """The framework's way, with its own refusals."""
    assert (await client.get("/a?times=3&wait_ms=2")).text == "aaa after 2 for me"
    for wrong in ("times=10", "times=x", "wait_ms=-1"):
        assert (await client.get(f"/a?{wrong}")).json()["code"] == "invalid_parameter"


async def test_no_request_passes_its_guards(client: httpx.AsyncClient) -> None:
    """With parameters or without."""
    for path in ("/a", "/a?times=3"):
        answer = await client.get(path, headers={"password": "guessed"})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        answer = await client.get(path, headers={"authorization": "Basic me"})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


def test_it_is_documented_like_any_other() -> None:
    """Its parameters, those of its guards and the key that it needs."""
    assert made(Direct).openapi() == made(APIRoute).openapi()
    assert made(Direct).openapi()["paths"]["/{name}"]["get"]["security"] == [{"HTTPBearer": []}]
