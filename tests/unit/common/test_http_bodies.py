"""A JSON body is read under a limit and refused by name."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from fastapi import Request
from starlette.types import Message

from common.errors import Refused
from common.http.bodies import encoded, read_json


class Nested(msgspec.Struct):
    anything: Any


def request(*chunks: bytes, **headers: str) -> Request:
    """A request as a server hands it over."""
    pending = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    pending.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Message:
        return pending.pop(0)

    named = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    raw = [(name.encode(), value.encode()) for name, value in named.items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


async def code_of(*chunks: bytes, **headers: str) -> str:
    with pytest.raises(Refused) as refused:
        await read_json(request(*chunks, **headers), Nested, limit_bytes=1_000_000)
    return refused.value.code


async def test_reads_a_struct() -> None:
    """Out of however many pieces."""
    assert await read_json(request(b'{"any', b'thing": 1}'), Nested, limit_bytes=15) == Nested(1)


async def test_nesting_is_bounded() -> None:
    """A hundred thousand arrays in each other end in a refusal, not in a crash."""
    depth = 100_000
    assert await code_of(b'{"anything":' + b"[" * depth + b"]" * depth + b"}") == "invalid_json"


@pytest.mark.parametrize("chunks", [[b"x" * 600_000, b"x" * 600_000], [b"x" * 1_000_001]])
async def test_stops_at_the_limit(chunks: Sequence[bytes]) -> None:
    """In one piece or in several."""
    assert await code_of(*chunks) == "body_too_large"


@pytest.mark.parametrize("length", ["1000001", "9" * 30])
async def test_believes_a_length_that_is_too_large(length: str) -> None:
    """Without reading any of it."""
    assert await code_of(content_length=length) == "body_too_large"


@pytest.mark.parametrize("length", ["-1", "1e9", "x"])
async def test_does_not_trip_over_a_length_that_is_none(length: str) -> None:
    """The body itself counts."""
    read = await read_json(request(b'{"anything": 1}', content_length=length), Nested, limit_bytes=1_000_000)
    assert read.anything == 1


def test_writes_structs() -> None:
    """As JSON, with its type."""
    answer = encoded(Nested(None), 201, {"Location": "/x"})
    assert (answer.status_code, bytes(answer.body)) == (201, b'{"anything":null}')
    assert (answer.headers["content-type"], answer.headers["location"]) == ("application/json", "/x")
