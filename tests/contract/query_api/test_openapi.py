"""The OpenAPI document is walked, so that no route, parameter or answer that is added can stay untold or unguarded."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import httpx
import pytest_asyncio
from fastapi import FastAPI

from common.contracts import Scope
from common.problems import PROBLEMS

Document = dict[str, Any]

PUBLIC = ("/openapi.json", "/docs", "/static-offline-docs")  # the document itself, and the page that shows it


class Operation(NamedTuple):
    method: str
    path: str
    about: dict[str, Any]

    @property
    def is_public(self) -> bool:
        return "health" in self.about["tags"]

    @property
    def scope(self) -> Scope:
        if self.path.startswith("/v1/keys"):
            return Scope.ADMIN
        if self.method == "DELETE" and self.path.startswith(("/v1/a/", "/v1/b/")):
            return Scope.ADMIN
        if self.path.startswith("/v1/analytics"):
            return Scope.ANALYTICS
        if self.path == "/v1/rejected/replay":
            return Scope.INGEST
        of_rules = ("/v1/conditions", "/v1/rules", "/v1/destinations", "/v1/silences", "/v1/alerts", "/v1/deliveries")
        return Scope.RULES if self.path.startswith(of_rules) and self.method != "GET" else Scope.READ


@pytest_asyncio.fixture(scope="module")
async def document(stranger: httpx.AsyncClient) -> Document:
    answer = await stranger.get("/openapi.json")
    assert answer.status_code == 200
    found: Document = answer.json()
    return found


def operations(document: Document) -> list[Operation]:
    found = [
        Operation(method.upper(), path, about)
        for path, methods in document["paths"].items()
        for method, about in methods.items()
    ]
    assert len(found) >= 11
    return found


def guarded(document: Document) -> list[Operation]:
    found = [operation for operation in operations(document) if not operation.is_public]
    assert len(found) == len(operations(document)) - 2  # /healthz and /readyz
    return found


def resolved(document: Document, thing: dict[str, Any]) -> Any:
    """Follow a reference."""
    while "$ref" in thing:
        path = thing["$ref"].removeprefix("#/").split("/")
        thing = document
        for part in path:
            thing = thing[part]
    return thing


def references(thing: Any) -> Iterator[str]:
    if isinstance(thing, dict):
        if isinstance(thing.get("$ref"), str):
            yield thing["$ref"]
        for value in thing.values():
            yield from references(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from references(value)


_KINDS: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "null": type(None),
}


def fits(document: Document, schema: dict[str, Any], value: Any) -> bool:
    """Whether `value` has what `schema` requires, and nothing that it does not know: enough to catch a drift."""
    schema = resolved(document, schema)
    if "anyOf" in schema:
        return any(fits(document, one, value) for one in schema["anyOf"])
    if isinstance(value, dict):
        known = schema.get("properties", {name: {} for name in value})
        complete = set(schema.get("required", ())) <= set(value) <= set(known)
        return complete and all(fits(document, known[name], one) for name, one in value.items())
    if isinstance(value, list):
        is_array = schema.get("type", "array") == "array"  # where a schema says nothing, anything fits
        return is_array and all(fits(document, schema.get("items", {}), one) for one in value)
    return isinstance(value, _KINDS[schema["type"]] if "type" in schema else object) and (
        value in schema.get("enum", [value]) and re.search(schema.get("pattern", ""), str(value)) is not None
    )


def test_no_route_is_left_out_of_the_walks(document: Document, app: FastAPI) -> None:
    """One that the document did not have would be guarded by whoever thought of it, and held to nothing below."""
    found = set(paths(app.routes))
    assert {"/v1/a/{record_id}", "/v1/keys"} & found
    assert {path for path in found if not path.startswith(PUBLIC)} == set(document["paths"])


def paths(routes: Iterable[Any]) -> Iterator[str]:
    """Of every route, those of included routers too."""
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is None:
            yield route.path
        else:
            yield from paths(included.routes)


def test_every_reference_leads_somewhere(document: Document) -> None:
    """Else /docs shows an error where a schema should be."""
    found = set(references(document))
    assert found
    assert all(resolved(document, {"$ref": reference}) for reference in found)


def test_every_operation_is_told(document: Document) -> None:
    """Its summary and description; an operation without one is a riddle in /docs."""
    for operation in guarded(document):
        assert operation.about["summary"], operation.path
        assert len(operation.about["description"]) > 20, operation.path


def test_every_parameter_is_told(document: Document) -> None:
    """What it means, and an example."""
    for operation in guarded(document):
        for parameter in operation.about.get("parameters", ()):
            assert parameter["description"], (operation.path, parameter["name"])
            assert parameter["examples"], (operation.path, parameter["name"])
            assert all(one.get("value") is not None for one in parameter["examples"].values())


def test_every_body_has_examples_that_fit(document: Document) -> None:
    """What is sent and what comes back, each with its schema."""
    for operation in operations(document):
        bodies = [about for code, about in operation.about["responses"].items() if code.startswith("2")]
        assert bodies, operation.path
        if "requestBody" in operation.about:
            assert operation.about["requestBody"]["required"]
            bodies.append(operation.about["requestBody"])
        for body in bodies:
            content = body["content"]["application/json"]
            examples = [resolved(document, one)["value"] for one in content.get("examples", {}).values()]
            examples += [content["example"]] if "example" in content else []
            assert examples, (operation.path, body)
            assert all(fits(document, content["schema"], example) for example in examples), operation.path


def test_every_problem_has_an_example_that_fits(document: Document) -> None:
    """With its status, its code and what to do about it."""
    for operation in operations(document):
        problems = {status: about for status, about in operation.about["responses"].items() if status >= "4"}
        assert "500" in problems
        for status, about in problems.items():
            content = about["content"]["application/problem+json"]
            assert content["examples"], (operation.path, status)
            for code, example in content["examples"].items():
                assert PROBLEMS[code].status == int(status) == example["value"]["status"]
                assert fits(document, content["schema"], example["value"]), (operation.path, code)


def test_every_guarded_operation_says_so(document: Document) -> None:
    """Its security, and what is answered without."""
    assert document["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    for operation in guarded(document):
        assert operation.about["security"] == [{"HTTPBearer": []}], operation.path
        assert {"401", "403", "422"} <= set(operation.about["responses"]), operation.path


def test_frameworks_own_errors_are_not_told(document: Document) -> None:
    """They never come: every error is a problem."""
    assert not [name for name in document["components"]["schemas"] if "ValidationError" in name]


def addressed(operation: Operation) -> tuple[str, str]:
    return operation.method, re.sub(r"\{\w+\}", "x", operation.path)


async def test_every_operation_refuses_whoever_does_not_belong(
    document: Document, stranger: httpx.AsyncClient, app: FastAPI, tokens: dict[Scope, str], issuer: Any
) -> None:
    """No credentials, unknown, guessed and revoked keys, and every way of forging a token."""
    key, revoked = await app.state.parts.key_ring.make("revoked", list(Scope))
    await app.state.parts.key_ring.revoke(key.id)
    everything = " ".join(Scope)
    given = {
        "none": {},
        "an unknown key": {"Authorization": f"Bearer tsk_0123456789ab_{'0' * 64}"},
        "a guessed secret": {"Authorization": f"Bearer {tokens[Scope.ADMIN][:-1]}x"},
        "a revoked key": {"Authorization": f"Bearer {revoked}"},
        "another scheme": {"Authorization": f"Basic {tokens[Scope.ADMIN]}"},
        **{name: {"Authorization": f"Bearer {token}"} for name, token in issuer.forgeries(everything).items()},
    }
    for operation in guarded(document):
        for name, headers in given.items():
            answer = await stranger.request(*addressed(operation), headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), (operation.path, name)
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_an_issuers_token_opens_what_its_scopes_say(
    document: Document, client_of: Callable[[str], httpx.AsyncClient], issuer: Any
) -> None:
    """As a key does; one without the scope is turned away."""
    for operation in guarded(document):
        others = " ".join(scope for scope in Scope if scope is not operation.scope)
        async with client_of(issuer.token(scope=others)) as client:
            answer = await client.request(*addressed(operation), params={"nonsense": "1"})
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), operation.path
        async with client_of(issuer.token(scope=f"openid {operation.scope}")) as client:
            answer = await client.request(*addressed(operation), params={"nonsense": "1"})
            assert answer.json()["code"] == "invalid_parameter", operation.path


async def test_every_operation_needs_its_scope(
    document: Document, client_of: Callable[[str], httpx.AsyncClient], tokens: dict[Scope, str]
) -> None:
    """One scope opens it, every other is turned away."""
    for operation in guarded(document):
        let_in = []
        for scope in Scope:
            async with client_of(tokens[scope]) as client:
                answer = await client.request(*addressed(operation))
            if answer.status_code == 403:
                assert answer.json()["code"] == "forbidden"
            else:
                let_in.append(scope)
        assert let_in == [operation.scope], operation


async def test_every_operation_refuses_parameters_that_it_does_not_know(
    document: Document, client_of: Callable[[str], httpx.AsyncClient], tokens: dict[Scope, str]
) -> None:
    """A typo must not vanish."""
    for operation in guarded(document):
        async with client_of(tokens[operation.scope]) as client:
            answer = await client.request(*addressed(operation), params={"nonsense": "1"})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter"), operation.path
        assert "There is no parameter 'nonsense'" in answer.json()["detail"]


async def test_what_is_public_needs_no_key(stranger: httpx.AsyncClient) -> None:
    """The document, its page and health."""
    for path in ("/openapi.json", "/docs", "/healthz"):
        assert (await stranger.get(path)).status_code == 200
