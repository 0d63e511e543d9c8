"""The OpenAPI document is what a newcomer goes by: complete, with examples that work when they are sent."""

import json
import re
from pathlib import Path
from typing import Any

import pytest_asyncio

from common.contracts import INCOMING, MAX_ID_CHARACTERS, Stream
from common.problems import PROBLEMS
from ingest import api

PATHS = {stream: f"/v1/streams/{stream}/records" for stream in Stream}


@pytest_asyncio.fixture
async def document(service) -> dict[str, Any]:
    answer = await service.http.get("/openapi.json", headers={"authorization": ""})
    assert answer.status_code == 200
    return dict(answer.json())


def test_no_route_is_left_out_of_the_document(service, document) -> None:
    """What is not in it is not walked below; the document itself and the page that shows it are for everybody."""
    public = ("/openapi.json", "/docs", "/static-offline-docs")
    assert {route.path for route in service.app.routes if not route.path.startswith(public)} == set(document["paths"])


def operation(document, stream: Stream) -> dict[str, Any]:
    return dict(document["paths"][PATHS[stream]]["post"])


def test_both_streams_are_there_and_told(document) -> None:
    """One route per stream, each with what it is for and how to get in."""
    assert set(document["paths"]) == {*PATHS.values(), "/healthz", "/readyz"}
    for stream in Stream:
        about = operation(document, stream)
        assert about["summary"] == f"Send records of stream {stream.upper()}"
        assert len(about["description"]) > 50
        assert about["security"] == [{"HTTPBearer": []}]


def test_the_fields_schemas_show_their_bounds(document) -> None:
    """They come from the one definition of a record."""
    for stream, struct in INCOMING.items():
        schema = document["components"]["schemas"][struct.__name__]
        assert schema["additionalProperties"] is False
        for name, about in schema["properties"].items():
            assert about["description"], name
            assert about["examples"], name
        assert schema["properties"]["unique_identifier"]["maxLength"] == MAX_ID_CHARACTERS
        parents = {"Stream_A_unique_identifier"} if stream is Stream.B else set()
        assert set(schema["required"]) == {"unique_identifier", "number", "text"} | parents


def raised_by_ingest() -> set[str]:
    """The codes that stand in its sources."""
    raised = re.compile(r'(?<!\w)(?:Refused|problem)\(\s*"(\w+)"')
    found = {code for source in Path(api.__file__).parent.glob("*.py") for code in raised.findall(source.read_text())}
    assert "records_refused" in found
    return found


def test_every_answer_has_an_example(document) -> None:
    """Success whole and in part, and every problem that can come, under its own status."""
    for stream in Stream:
        responses = operation(document, stream)["responses"]
        for status in ("202", "207"):
            example = responses[status]["content"]["application/json"]["example"]
            assert set(example) == {"accepted", "rejected", "receipt", "errors"}
        told = {
            code: int(status)
            for status, response in responses.items()
            for code in response["content"].get("application/problem+json", {}).get("examples", {})
        }
        assert told == {code: PROBLEMS[code].status for code in told}
        assert raised_by_ingest() | {"unauthenticated", "forbidden", "unavailable", "internal"} <= set(told)


async def test_every_example_of_a_body_is_accepted_when_it_is_sent(service, document) -> None:
    """Nothing is more annoying than an example that does not work."""
    for stream in Stream:
        content = operation(document, stream)["requestBody"]["content"]
        assert set(content) == {"application/json", "application/x-ndjson"}
        for content_type, about in content.items():
            assert about["examples"]
            for example in about["examples"].values():
                value = example["value"]
                body = value if content_type == "application/x-ndjson" else json.dumps(value)
                answer = await service.send(stream, body.encode(), content_type)
                assert answer.status_code == 202, answer.text


async def test_every_route_refuses_whoever_does_not_belong(service, document, issuer) -> None:
    """Walked, so that no new route is forgotten: none, unknown, guessed, revoked, forged, and of another scope."""
    unknown, guessed = f"tsk_0123456789ab_{'0' * 64}", f"{service.key[:-1]}x"
    nobodys = {"unknown": unknown, "guessed": guessed, "revoked": service.revoked_key, **issuer.forgeries("ingest")}
    given = {name: (f"Bearer {token}", 401) for name, token in nobodys.items()}
    given |= {"none": ("", 401), "another scheme": (f"Basic {service.key}", 401)}
    given |= {"wrong key": (f"Bearer {service.reading_key}", 403)}
    given |= {"wrong token": (f"Bearer {issuer.token(scope='read admin')}", 403)}
    routes = [(path, method) for path, about in document["paths"].items() if path.startswith("/v1") for method in about]
    assert len(routes) == len(document["paths"]) - 2  # all but /healthz and /readyz
    for path, method in routes:
        for name, (authorization, status) in given.items():
            answer = await service.http.request(method, path, json={}, headers={"authorization": authorization})
            assert answer.status_code == status, (path, name)
            assert answer.json()["code"] == {401: "unauthenticated", 403: "forbidden"}[status]


async def test_an_issuers_token_takes_in_records(service, issuer) -> None:
    """Beside keys, with the scope that its claim names."""
    body = b'{"unique_identifier": "by-token", "number": 1, "text": "x"}'
    authorization = f"Bearer {issuer.token(scope='ingest')}"
    assert (await service.send("a", body, authorization=authorization)).status_code == 202
