"""Every kind of bad input: its status, its code and what is said of it. Nothing bad is a fault of ours."""

import asyncio
import gzip
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

JSON, NDJSON = "application/json", "application/x-ndjson"
A = {"unique_identifier": "a-1", "number": 1, "text": "one"}
MAX_BODY = 16 * 1024 * 1024


def with_field(name: str, literal: str | bytes) -> bytes:
    marked = json.dumps(A | {name: "MARK"}).encode()
    return marked.replace(b'"MARK"', literal.encode() if isinstance(literal, str) else literal)


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The problem document in `answer`, which must be complete."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert (body["code"], body["status"], body["type"]) == (code, status, f"urn:twinstream:problem:{code}")
    assert body["trace_id"] == answer.headers["x-trace-id"]
    assert len(body["detail"]) < 300
    return body


@pytest.mark.parametrize(
    ("content_type", "body", "refusal"),
    [
        (JSON, b"", (400, "empty_body", "There is no record in the body: send at least one.")),
        (NDJSON, b"", (400, "empty_body", "There is no record in the body")),
        (JSON, b"[]", (400, "empty_body", "There is no record in the body")),
        (NDJSON, b"\n\n \r\n", (400, "empty_body", "There is no record in the body")),
        (JSON, b'{"unique_identifier": ', (400, "invalid_json", "it ends too early, at byte 22")),
        (JSON, b"\n[{}, {]", (400, "invalid_json", "at byte 7, near '\\n[{}, {]'")),
        (JSON, with_field("number", "NaN"), (400, "invalid_json", "invalid character at byte 39")),
        (JSON, b"\xff\xfe{\x00}\x00", (400, "invalid_json", "at byte 0")),
        (JSON, b"[" * 100_000 + b"]" * 100_000, (400, "invalid_json", "nested too deeply")),
        (JSON, b'{"text":' * 100_000, (400, "invalid_json", "nested too deeply")),
        (JSON, json.dumps([A] * 200_000).encode(), (413, "too_many_records", "more than 100,000 records: split it")),
        (JSON, b"[" + b"1," * 7_000_000 + b"1]", (413, "too_many_records", "more than 100,000 records: split it")),
        (NDJSON, b"{}\n" * 200_000, (413, "too_many_records", "more than 100,000 lines: split it")),
        (NDJSON, b" " * (MAX_BODY + 1), (413, "body_too_large", "more than 16,777,216 bytes as sent")),
        ("", b"{}", (415, "unsupported_media_type", "must be application/json or application/x-ndjson, which is")),
        ("text/csv", b"{}", (415, "unsupported_media_type", "application/x-ndjson, not 'text/csv'.")),
        ("application/json; charset=latin-1", b"{}", (415, "unsupported_media_type", "The charset must be utf-8")),
    ],
)
async def test_a_body_that_is_refused_whole(service, content_type, body, refusal) -> None:
    """Nothing of it is taken, and the answer says where it fails and what would do."""
    status, code, said = refusal
    assert said in problem(await service.send("a", body, content_type), status, code)["detail"]


@pytest.mark.parametrize(
    ("encoding", "body", "refusal"),
    [
        (
            "br",
            b"{}",
            (415, "unsupported_media_type", "must be gzip, zstd or identity, one of them and once, not 'br'."),
        ),
        ("gzip, gzip", b"{}", (415, "unsupported_media_type", "not 'gzip, gzip'.")),
        ("gzip", b"{}", (400, "invalid_encoding", "The body is not gzip: ")),
        ("zstd", b"{}" * 10, (400, "invalid_encoding", "The body is not zstd: ")),
        ("gzip", gzip.compress(b"{}" * 100, mtime=0)[:-3], (400, "invalid_encoding", "The gzip stream ends too early")),
        (
            "gzip",
            gzip.compress(bytes(MAX_BODY + 1), mtime=0),
            (413, "body_too_large", "16,777,216 bytes once decompressed"),
        ),
    ],
)
async def test_an_encoding_that_does_not_hold(service, encoding, body, refusal) -> None:
    """A compressed body is one whole stream of the kind that its header names, and not too large inside."""
    status, code, said = refusal
    answer = await service.send("a", body, JSON, content_encoding=encoding)
    assert said in problem(answer, status, code)["detail"]


@pytest.mark.parametrize(
    ("content_type", "body", "code", "said"),
    [
        (NDJSON, b"{broken", "record_not_json", "expecting property name enclosed in double quotes at byte 1"),
        (NDJSON, with_field("number", "NaN"), "record_not_json", "NaN is none of its numbers"),
        (NDJSON, with_field("number", "-Infinity"), "record_not_json", "-Infinity is none of its numbers"),
        (NDJSON, b"[" * 100_000, "record_not_json", "nested too deeply: it is a flat object"),
        (JSON, b"[[[]]]", "record_not_object", "The record is an array: it must be an object"),
    ],
)
async def test_what_is_no_record(service, content_type, body, code, said) -> None:
    """With no record left the answer is a problem; its `errors` say of each record what is wrong."""
    found = problem(await service.send("a", body, content_type), 422, "records_refused")
    assert (found["accepted"], found["rejected"]) == (0, 1)
    (error,) = found["errors"]
    assert (error["index"], error["code"]) == (0, code)
    assert said in error["detail"]
    assert found["detail"] == f"The only record was refused: {error['detail']}"


@pytest.mark.parametrize(
    ("field", "literal", "code", "said"),
    [
        ("text", b'"caf\xe9"', "invalid_text", "has a byte that is not UTF-8, 0xe9, as its character 4"),
        ("text", '"\\ud800"', "invalid_text", "has a lone surrogate, '\\ud800', as its character 1"),
        ("text", f'"{"x" * 65_537}"', "text_too_long", "has 65,537 bytes of UTF-8: a text has at most 65,536."),
        ("number", "1e400", "invalid_number", "is beyond the range of a double"),
        ("number", f"{10**30}", "invalid_number", "is an integer beyond ±2^53"),
        ("number", "true", "wrong_type", "is a boolean (true): it must be a number."),
        ("number", '"5"', "wrong_type", 'is a string ("5"): it must be a number.'),
        ("unique_identifier", f'"{"x" * 300}"', "invalid_id", "has 300 characters: an id has at most 256."),
        ("unique_identifier", '"a\\u0000b"', "invalid_id", "has the control character U+0000 as its character 2"),
        ("event_time", '"1969-07-20T20:17:40Z"', "event_time_out_of_range", "is 1969-07-20T20:17:40Z, before the year"),
        ("event_time", '"2090-01-01T00:00:00Z"', "event_time_out_of_range", "is 2090-01-01T00:00:00Z, more than five"),
        ("event_time", '"2026-01-01T00:00:00"', "invalid_event_time", "has no offset from UTC"),
        ("txet", "1", "unknown_field", '"txet" is no field of stream a: did you mean "text"?'),
    ],
)
async def test_a_field_that_is_refused(service, field, literal, code, said) -> None:
    """The error names the field and says what is wrong with it and what would be right."""
    answer = await service.send("a", with_field(field, literal), JSON)
    (error,) = problem(answer, 422, "records_refused")["errors"]
    assert (error["index"], error["code"], error["field"]) == (0, code, field)
    assert said in error["detail"]


async def test_a_field_that_is_missing(service) -> None:
    """Its name and what belongs there are told."""
    answer = await service.send("a", b'{"unique_identifier": "x", "number": 1}', JSON)
    (error,) = problem(answer, 422, "records_refused")["errors"]
    assert error == {
        "index": 0,
        "field": "text",
        "code": "missing_field",
        "detail": "text is missing: it must be a string.",
    }


@pytest.mark.parametrize("literal", ['"\\ud800"', b'"\xff"', "1e400"])
async def test_a_bad_record_does_not_take_its_neighbours_with_it(service, literal) -> None:
    """Neither half a character nor a broken byte hides the good elements of an array."""
    body = b"[" + json.dumps(A).encode() + b"," + with_field("text", literal) + b"," + json.dumps(A).encode() + b"]"
    answer = await service.send("a", body, JSON)
    assert answer.status_code == 207
    assert (answer.json()["accepted"], [error["index"] for error in answer.json()["errors"]]) == (2, [1])


async def test_every_one_of_many_bad_records_is_named(service) -> None:
    """No list is cut: whoever mends a batch needs all of it."""
    body = b"\n".join(with_field("number", f'"{n}"') for n in range(3_000))
    found = problem(await service.send("a", body), 422, "records_refused")
    assert found["detail"].startswith("All 3,000 records were refused; the first, index 0: number is a string")
    assert [error["index"] for error in found["errors"]] == list(range(3_000))
    assert found["errors"][2_999]["line"] == 3_000


async def test_a_stream_that_does_not_exist(service) -> None:
    """There are a and b; the answer leads to the list of routes."""
    assert "/docs" in problem(await service.send("c", json.dumps(A).encode(), JSON), 404, "not_found")["detail"]


async def test_an_unknown_parameter(service) -> None:
    """A typo must not vanish."""
    answer = await service.http.post("/v1/streams/a/records?strict=1", json=A)
    assert "takes none" in problem(answer, 422, "invalid_parameter")["detail"]


@pytest.mark.parametrize(
    ("authorization", "said"),
    [
        (None, "The request carries no key: send `Authorization: Bearer <key>`."),
        ("Bearer", "The request carries no key"),
        ("Bearer nonsense", "The key is unknown or revoked."),
        ("Bearer tsk_000000000000_00", "The key is unknown or revoked."),
        ("Basic eDp5", "The Authorization header holds another scheme"),
    ],
)
async def test_without_a_known_key_there_is_no_entry(service, authorization, said) -> None:
    """No key, an unknown one and another scheme are all told how it is done."""
    service.http.headers.pop("authorization", None)
    headers = {"authorization": authorization} if authorization is not None else {}
    try:
        answer = await service.http.post("/v1/streams/a/records", json=A, headers=headers)
    finally:
        service.http.headers["authorization"] = f"Bearer {service.key}"
    assert said in problem(answer, 401, "unauthenticated")["detail"]
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_key_without_the_scope_may_not_send(service) -> None:
    """The answer names the scope that is lacking."""
    answer = await service.send("a", json.dumps(A).encode(), JSON, authorization=f"Bearer {service.reading_key}")
    assert "lacks the scope 'ingest'" in problem(answer, 403, "forbidden")["detail"]


async def open_request(service, *headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request whose headers are sent and whose body is not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.settings.ingest_port)
    lines = ["POST /v1/streams/a/records HTTP/1.1", "Host: x", "Content-Type: application/json", *headers, "", ""]
    writer.write("\r\n".join(lines).encode())
    await writer.drain()
    return reader, writer


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["Content-Length: 1000000"], b"401"),
        (["Content-Length: 1000000", "Authorization: Bearer tsk_1_2"], b"401"),
        (["Content-Length: 999999999999", "Authorization: Bearer {key}"], b"413"),
    ],
)
async def test_what_can_be_refused_by_its_headers_is_not_read(service, headers, status) -> None:
    """The answer comes before the first byte of the body is sent."""
    reader, writer = await open_request(service, *(header.format(key=service.key) for header in headers))
    assert (await asyncio.wait_for(reader.readline(), 60)).split()[1] == status
    writer.close()


async def test_a_body_without_a_length_is_read_to_the_limit_and_no_further(service) -> None:
    """A sender who streams for ever is stopped by an answer."""
    authorization = f"Authorization: Bearer {service.key}"
    reader, writer = await open_request(service, "Transfer-Encoding: chunked", authorization)
    sent, megabyte = 0, b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    answer = asyncio.create_task(reader.readline())
    while not answer.done() and sent < 100:
        writer.write(megabyte)
        await writer.drain()
        await asyncio.wait([answer], timeout=0.01)
        sent += 1
    assert (await asyncio.wait_for(answer, 60)).split()[1] == b"413"
    assert sent < 100
    writer.close()


async def test_a_sender_who_hangs_up_is_no_fault_of_ours(service) -> None:
    """A body that breaks off is logged as what it is, and nothing is answered to nobody."""
    with capture_logs() as logs:
        _, writer = await open_request(service, "Content-Length: 1000", f"Authorization: Bearer {service.key}")
        writer.write(b'{"unique_identifier": ')
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(60):
            while not any(entry["event"] == "request" for entry in logs):  # the log has no event
                await asyncio.sleep(0.01)
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("client_gone", "info"), ("request", "info")]
    assert logs[1]["status"] == 499


@pytest.mark.parametrize(
    ("parent", "code", "said"),
    [
        (None, "missing_field", "Stream_A_unique_identifier is missing"),
        ("p" * 300, "invalid_id", "Stream_A_unique_identifier has 300 characters"),
        ("p\x00", "invalid_id", "Stream_A_unique_identifier has"),
        ("", "invalid_id", "Stream_A_unique_identifier"),
        (True, "wrong_type", "Stream_A_unique_identifier is"),
    ],
)
async def test_a_parent_is_held_to_the_rule_of_ids(service, parent, code, said) -> None:
    """The parent of a B is an id like any other, and every B names one."""
    b = A if parent is None else A | {"Stream_A_unique_identifier": parent}
    (error,) = problem(await service.send("b", json.dumps(b).encode(), JSON), 422, "records_refused")["errors"]
    assert (error["code"], error["field"]) == (code, "Stream_A_unique_identifier")
    assert said in error["detail"]
