"""What is wrong is refused with a status, a stable code and a detail that says what would be right."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from common.contracts import Scope

JSON = {"Content-Type": "application/json"}


def assert_problem(answer: httpx.Response, status: int, code: str, says: str) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code), body
    assert says in body["detail"], body
    assert body["type"] == f"urn:twinstream:problem:{code}"
    assert body["trace_id"] == answer.headers["x-trace-id"]
    assert len(body["detail"]) < 1000
    return body


@pytest.mark.parametrize(
    ("path", "status", "code", "says"),
    [
        ("/v1/a/" + "x" * 300, 422, "invalid_parameter", "1 to 256 characters, and this one has 300"),
        ("/v1/b/" + "%F0%9F%98%80" * 257, 422, "invalid_parameter", "this one has 257"),
        ("/v1/a/a%00b", 422, "invalid_parameter", "no control characters, and this one has U+0000 at 1"),
        ("/v1/a/a%0Ab/b", 422, "invalid_parameter", "U+000A"),
        ("/v1/a/%C2%85", 422, "invalid_parameter", "U+0085"),
        ("/v1/a/%FF", 422, "invalid_parameter", "not UTF-8"),
        ("/v1/a/%ED%A0%80", 422, "invalid_parameter", "not UTF-8"),
        ("/v1/a/unknown", 404, "not_found", "There is no record of stream A with the id 'unknown'."),
        ("/v1/b/un%2Fknown", 404, "not_found", "There is no record of stream B with the id 'un/known'."),
        ("/v1/a/un/known", 404, "not_found", "There is no route /v1/a/un/known; /docs lists them."),
        ("/v1/a/x/b/", 404, "not_found", "There is no route"),
        ("/v1/a/", 404, "not_found", "There is no route"),
        ("/v1/a", 404, "not_found", "There is no route"),
        ("/v1/c/x", 404, "not_found", "There is no route"),
        ("/", 404, "not_found", "There is no route"),
        ("/v1/a/x/b?limit=0", 422, "invalid_parameter", "query.limit: Input should be greater than or equal to 1"),
        ("/v1/a/x/b?limit=-1", 422, "invalid_parameter", "query.limit: Input should be greater than or equal to 1"),
        ("/v1/a/x/b?limit=1001", 422, "invalid_parameter", "query.limit: Input should be less than or equal to 1000"),
        ("/v1/a/x/b?limit=ten", 422, "invalid_parameter", "query.limit: Input should be a valid integer"),
        ("/v1/a/x/b?limit=1e2", 422, "invalid_parameter", "query.limit: Input should be a valid integer"),
        ("/v1/a/x/b?limit=", 422, "invalid_parameter", "query.limit: Input should be a valid integer"),
        ("/v1/a/x/b?limit=" + "9" * 5000, 422, "invalid_parameter", "query.limit: "),
        ("/v1/a/x/b?order=newest", 422, "invalid_parameter", "query.order: Input should be 'time' or 'id'"),
        ("/v1/a/x/b?since=yesterday", 422, "invalid_parameter", "neither RFC 3339, such as 2026-11-23T08:00:00Z"),
        ("/v1/a/x/b?since=2026-11-23T08:00:00", 422, "invalid_parameter", "names no offset from UTC"),
        ("/v1/a/x/b?since=2026-11-23T08:00:00+01:00", 422, "invalid_parameter", "a + is sent as %2B"),
        ("/v1/a/x/b?since=1795420800", 422, "invalid_parameter", "milliseconds since 1970, not seconds"),
        ("/v1/a/x/b?since=-86400000", 422, "invalid_parameter", "neither RFC 3339"),
        ("/v1/a/x/b?since=1969-12-31T00:00:00Z", 422, "invalid_parameter", "outside 2000 to 9999"),
        ("/v1/a/x/b?cursor=", 400, "invalid_cursor", "next_cursor"),
        ("/v1/a/x/b?cursor=AAAA", 400, "invalid_cursor", "next_cursor"),
        ("/v1/a/x/b?cursor=%00", 400, "invalid_cursor", "next_cursor"),
        ("/v1/a/x/b?cursor=" + "A" * 10_000, 400, "invalid_cursor", "next_cursor"),
        ("/v1/a/x/b?limt=5", 422, "invalid_parameter", "There is no parameter 'limt'"),
        ("/v1/a/x/b?limt=5", 422, "invalid_parameter", "Did you mean 'limit'?"),
        ("/v1/a/x/b?limit=5&limit=6", 422, "invalid_parameter", "'limit' is given 2 times: give it once."),
        (
            "/v1/a/x?limit=5",
            422,
            "invalid_parameter",
            "'limit': this route takes wait_for, timeout_ms.",
        ),
        ("/v1/b/x?" + "y" * 5000, 422, "invalid_parameter", "There is no parameter"),
    ],
)
async def test_what_does_not_fit_in_an_address(
    reader: httpx.AsyncClient, path: str, status: int, code: str, says: str
) -> None:
    """Ids, parameters, cursors and routes."""
    assert_problem(await reader.get(path), status, code, says)


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        (b"", 400, "empty_body", "send a JSON object"),
        (b" \n", 400, "empty_body", "send a JSON object"),
        (b'{"ids": ["1"', 400, "invalid_json", "not JSON"),
        (b'{"ids": ["1"]} x', 400, "invalid_json", "The body is not JSON: trailing characters (byte 16)."),
        (b"ids=1", 400, "invalid_json", "invalid character (byte 0)"),
        (b'{"ids": ["\xff"]}', 400, "invalid_json", "can't decode byte 0xff"),
        (b'{"ids": ["\\ud800"]}', 400, "invalid_json", "half of a surrogate pair"),
        (b'{"ids": ["\\ud800 and more"]}', 400, "invalid_json", "half of a surrogate pair"),
        (b'{"ids": [NaN]}', 400, "invalid_json", "invalid character"),
        (b'{"ids": ' + b"[" * 100_000, 422, "invalid_body", "body.ids[0]: Expected `int | str`, got `array`"),
        (b'{"other": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 422, "invalid_body", "unknown field `other`"),
        (b'{"ids": [1e400]}', 422, "invalid_body", "body.ids[0]: Number out of range"),
        (b'{"ids": [1.5]}', 422, "invalid_body", "body.ids[0]: Expected `int | str`, got `float`"),
        (b'{"ids": ["1", true]}', 422, "invalid_body", "body.ids[1]: Expected `int | str`, got `bool`"),
        (b'{"ids": [null]}', 422, "invalid_body", "body.ids[0]: Expected `int | str`, got `null`"),
        (b'{"ids": "1"}', 422, "invalid_body", "body.ids: Expected `array`, got `str`"),
        (b'["1"]', 422, "invalid_body", "body: Expected `object`, got `array`"),
        (b"null", 422, "invalid_body", "body: Expected `object`, got `null`"),
        (b"{}", 422, "invalid_body", "missing required field `ids`"),
        (b'{"ids": ["1"], "idz": []}', 422, "invalid_body", "unknown field `idz`"),
        (b'{"ids": []}', 422, "invalid_body", "body.ids: Expected `array` of length >= 1"),
        (b'{"ids": [' + b'"1",' * 1000 + b'"1"]}', 422, "invalid_body", "body.ids: Expected `array` of length <= 1000"),
        (b'{"ids": ["ok", ""]}', 422, "invalid_body", "body.ids[1]: an id has 1 to 256 characters"),
        (b'{"ids": ["' + b"x" * 300 + b'"]}', 422, "invalid_body", "body.ids[0]: an id has 1 to 256 characters"),
        (b'{"ids": ["a\\u0000"]}', 422, "invalid_body", "body.ids[0]: an id has no control characters"),
        (b'{"ids": ["' + b"x" * 5_000_000 + b'"]}', 413, "body_too_large", "more than 4,194,304 bytes"),
    ],
)
async def test_what_does_not_fit_in_a_body(
    reader: httpx.AsyncClient, body: bytes, status: int, code: str, says: str
) -> None:
    """Named with its place."""
    for path in ("/v1/a/lookup", "/v1/b/lookup"):
        assert_problem(await reader.post(path, content=body, headers=JSON), status, code, says)


async def test_each_id_that_does_not_fit_is_named(reader: httpx.AsyncClient) -> None:
    """One pass tells all of them."""
    answer = await reader.post("/v1/a/lookup", json={"ids": ["", "ok", "x" * 257]})
    body = assert_problem(answer, 422, "invalid_body", "body.ids[0]")
    assert [error["at"] for error in body["errors"]] == ["body.ids[0]", "body.ids[2]"]


async def test_a_body_that_does_not_say_its_length_is_bounded_too(reader: httpx.AsyncClient) -> None:
    """Reading stops at the limit, wherever the sender meant to stop."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1024**3:
            sent += 65536
            yield b" " * 65536

    answer = await reader.post("/v1/a/lookup", content=endless(), headers=JSON)
    assert_problem(answer, 413, "body_too_large", "4,194,304 bytes")
    assert sent < 5 * 1024**2


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "Content-Type: application/json"),
        ({"Content-Type": "text/plain"}, "Content-Type: application/json"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "Content-Type: application/json"),
        ({"Content-Type": "application/json; charset=latin-1"}, "UTF-8"),
        ({**JSON, "Content-Encoding": "gzip"}, "without Content-Encoding"),
    ],
)
async def test_other_kinds_of_body(reader: httpx.AsyncClient, headers: dict[str, str], says: str) -> None:
    """JSON in UTF-8, uncompressed, is what lookups take."""
    answer = await reader.post("/v1/a/lookup", content=b'{"ids": ["1"]}', headers=headers)
    assert_problem(answer, 415, "unsupported_media_type", says)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/a/x", "DELETE, GET"),
        ("POST", "/v1/a/x", "DELETE, GET"),
        ("DELETE", "/v1/a/x/b", "GET"),
        ("PATCH", "/v1/keys", "GET, POST"),
        ("PUT", "/v1/a/lookup", "POST"),
    ],
)
async def test_other_methods(reader: httpx.AsyncClient, method: str, path: str, allowed: str) -> None:
    """The Allow header says which are taken."""
    answer = await reader.request(method, path)
    assert_problem(answer, 405, "method_not_allowed", f"{path} does not take {method}.")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    ("authorization", "says"),
    [
        (None, "carries no key"),
        ("", "carries no key"),
        ("Bearer", "carries no key"),
        ("Bearer ", "carries no key"),
        ("Basic dXNlcjpwYXNz", "another scheme"),
        ("tsk_0123456789ab_" + "0" * 64, "another scheme"),
        ("Bearer tsk_0123456789ab_" + "0" * 64, "unknown or revoked"),
        ("Bearer nonsense", "unknown or revoked"),
        ("Bearer tsk__", "unknown or revoked"),
        ("Bearer a_b_c_d", "unknown or revoked"),
        ("Bearer \xff\xfe", "unknown or revoked"),
        ("Bearer " + "x" * 10_000, "unknown or revoked"),
    ],
)
async def test_no_key_no_entry(stranger: httpx.AsyncClient, authorization: str | None, says: str) -> None:
    """With what to send; and before anything else of the request is looked at."""
    headers = [] if authorization is None else [(b"Authorization", authorization.encode("latin-1"))]
    for path in ("/v1/a/x", "/v1/a/x/b?limit=-1&nonsense", "/v1/a/" + "x" * 300):
        answer = await stranger.get(path, headers=headers)
        assert_problem(answer, 401, "unauthenticated", says)
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_body_is_not_read_before_the_key(stranger: httpx.AsyncClient) -> None:
    """Strangers cannot make us work."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 65536

    answer = await stranger.post("/v1/a/lookup", content=endless(), headers=JSON)
    assert_problem(answer, 401, "unauthenticated", "carries no key")
    assert sent == 0


async def test_the_scheme_is_taken_in_any_case(stranger: httpx.AsyncClient, tokens: dict[Scope, str]) -> None:
    """RFC 9110 says so."""
    answer = await stranger.get("/v1/a/x/b", headers={"Authorization": f"bearer {tokens[Scope.READ]}"})
    assert answer.status_code == 200


async def test_a_key_with_another_secret_is_unknown(stranger: httpx.AsyncClient, tokens: dict[Scope, str]) -> None:
    """The id alone opens nothing."""
    forged = tokens[Scope.READ][:-1] + ("0" if tokens[Scope.READ][-1] != "0" else "1")
    answer = await stranger.get("/v1/a/x", headers={"Authorization": f"Bearer {forged}"})
    assert_problem(answer, 401, "unauthenticated", "unknown or revoked")


@pytest.mark.parametrize("scope", [scope for scope in Scope if scope is not Scope.READ])
async def test_a_key_without_the_scope_reads_nothing(
    client_of: Callable[[str], httpx.AsyncClient], tokens: dict[Scope, str], scope: Scope
) -> None:
    """Admin does not imply reading."""
    async with client_of(tokens[scope]) as client:
        answer = await client.get("/v1/a/x")
    assert_problem(answer, 403, "forbidden", f"The key 'only {scope}' lacks the scope 'read'.")


@pytest.mark.parametrize(
    "parameters",
    [{"order": "id"}, {"since": "2026-11-23T08:00:00Z"}, {"order": "time", "since": "1795420800001"}],
)
async def test_a_cursor_of_another_walk(
    reader: httpx.AsyncClient, plant: Callable[..., Any], a_b: Callable[..., Any], parameters: dict[str, str]
) -> None:
    """Another order or since, or another A, would begin in a wrong place."""
    await plant([a_b(f"refused-{n}", "refusing") for n in range(3)])
    cursor = (await reader.get("/v1/a/refusing/b", params={"limit": 1})).json()["next_cursor"]
    assert (await reader.get("/v1/a/refusing/b", params={"cursor": cursor})).status_code == 200
    for path, more in (("/v1/a/refusing/b", parameters), ("/v1/a/another/b", {})):
        answer = await reader.get(path, params={"cursor": cursor, **more})
        assert_problem(answer, 400, "invalid_cursor", "another id, order or since")


@pytest.mark.parametrize("at", [0, 10, -1])
async def test_a_cursor_that_was_tampered_with(
    reader: httpx.AsyncClient, plant: Callable[..., Any], a_b: Callable[..., Any], at: int
) -> None:
    """One character that is another than it was, and it is none of ours."""
    await plant([a_b(f"tampered-{n}", "tampering") for n in range(3)])
    cursor = list((await reader.get("/v1/a/tampering/b", params={"limit": 1})).json()["next_cursor"])
    cursor[at] = "A" if cursor[at] != "A" else "Q"
    answer = await reader.get("/v1/a/tampering/b", params={"limit": 1, "cursor": "".join(cursor)})
    assert_problem(answer, 400, "invalid_cursor", "next_cursor")
