"""Bodies that nobody would think of: each gets an answer that tells what is wrong, and none stays in memory."""

import asyncio
import gzip
import json
import random
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import psutil
import pytest
import zstandard

MIB = 1024 * 1024
TOLD = {202, 207, 400, 409, 413, 415, 422, 429}
# Of a body before it is compressed: twenty thousand refused records take their time.
MOST_BYTES = {"short": 16 * 1024, "long": 64 * 1024}
PATIENCE_S = 300
SENDERS = 8
SHORT_S = 5.0
WARM_SHARE = 0.4  # of the time: until then memory may grow
# What a process may still gain afterwards, for allocators do not give everything back at once.
GROWTH = 1.1
GROWTH_BYTES = 8 * MIB

A = {"unique_identifier": "a-1", "number": 12.5, "text": "Blue kettle"}
B = {**A, "Stream_A_unique_identifier": "a-1", "event_time": "2026-11-23T08:00:00Z", "text": "\u00e9\U0001f600 \\ \n"}
SEEDS = [json.dumps(value).encode() for value in (A, B, [A, B], [B] * 50, {}, [], 1, None, "x", [[A]], {"a": {"b": 1}})]
SEEDS += [b"\n".join(json.dumps(one).encode() for one in many) for many in ([A, B], [B] * 200, [A] * 3)]
SEEDS += [b"", b"\n\n", b"\xef\xbb\xbf" + SEEDS[0], b"[" * 2_000, b'{"a":' * 2_000, b"1," * 2_000, b"{}\n" * 2_000]
PIECES = [
    *(b"\x00", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r\n", b"\n", b"\t", b" " * 100),
    *(b'"', b"\\", b"\\u", b"\\ud800", b"\\udc00\\ud800", b"\\u0000", b"{", b"}", b"[", b"]", b",", b":"),
    *(b"1e999", b"-0", b"NaN", b"Infinity", b"9007199254740993", b"1" * 400, b"0.1e-400", b"true", b"null"),
    *(b'"number":', b'"text":""', b'"event_time":', b'"unique_identifier":1', b'"9999-12-31T23:59:59Z"'),
]
CONTENT_TYPES = [
    *["application/json", "application/x-ndjson"] * 15,
    *("application/jsonlines", "application/json; charset=utf-8", "application/json; charset=latin-1", "text/plain"),
    *("", ";", "application/json; charset*=utf-8''%ff", 'application/x-ndjson; charset="', "a" * 5_000),
]
ENCODINGS = [*[""] * 16, "gzip", "zstd", "identity", "br", "gzip, gzip", "\u00e9"]


# What costs most to answer, sent by all at once before anything is measured: chance may do it late, and what the
# allocator once had of the system it keeps.
def heaviest(most_bytes: int) -> dict[str, Any]:
    """A request of nothing but records that are refused."""
    headers = {"content-type": "application/x-ndjson"}
    return {"content": b"{}\n" * (most_bytes // 3), "headers": headers, "timeout": PATIENCE_S}


Mutations = Sequence[Callable[[bytes], bytes]]


class Fuzzer:
    """Requests out of a seed: of the same seed, the same ones."""

    def __init__(self, seed: int, most_bytes: int) -> None:
        self._chance, self._most_bytes = random.Random(seed), most_bytes
        self._mutations: Mutations = (self._flip, self._cut, self._insert, self._repeat)

    def request(self) -> tuple[str, bytes, dict[str, str]]:
        """A path, a body and its headers."""
        chance, body = self._chance, self._body()
        headers = {"content-type": chance.choice(CONTENT_TYPES)}
        if encoding := chance.choice(ENCODINGS):
            headers["content-encoding"] = encoding
            body = self._compressed(body, encoding)
        if chance.random() < 0.1:
            headers["idempotency-key"] = chance.choice(["k", "k" * 300, "\u00e9", chance.randbytes(8).hex()])
        query = chance.choice([*[""] * 20, "?x=1", "?%ff", "?&&="])
        return f"/v1/streams/{chance.choice('ab')}/records{query}", body, headers

    def _body(self) -> bytes:
        body = self._chance.choice(SEEDS)
        for _ in range(self._chance.choice([0, 1, 1, 2, 4, 16])):
            body = self._chance.choice(self._mutations)(body)[: self._most_bytes]
        return body

    def _compressed(self, body: bytes, encoding: str) -> bytes:
        """Mostly as the header says, and mostly whole."""
        made = {"gzip": gzip.compress, "zstd": zstandard.compress}.get(encoding, bytes)(body)
        return self._chance.choice([made, made, made + made, self._flip(made), self._cut(made), body])

    def _place(self, body: bytes) -> int:
        return self._chance.randrange(len(body) + 1)

    def _flip(self, body: bytes) -> bytes:
        at = self._place(body)
        return body[:at] + self._chance.randbytes(1) + body[at + 1 :]

    def _cut(self, body: bytes) -> bytes:
        first, last = sorted((self._place(body), self._place(body)))
        return body[:first] + body[last:]

    def _insert(self, body: bytes) -> bytes:
        at = self._place(body)
        return body[:at] + self._chance.choice(PIECES) + body[at:]

    def _repeat(self, body: bytes) -> bytes:
        first, last = sorted((self._place(body), self._place(body)))
        return body[:first] + body[first:last] * self._chance.choice([2, 3, 50]) + body[last:]


async def answers_to(client: httpx.AsyncClient, seed: int, most_bytes: int, seconds: float) -> Counter[int]:
    """Send for so long; how many answers there were of each status, all of which tell what they are."""
    fuzzer, until, told = Fuzzer(seed, most_bytes), asyncio.get_running_loop().time() + seconds, Counter[int]()
    while asyncio.get_running_loop().time() < until:
        path, body, headers = fuzzer.request()
        sent = {name: value.encode("utf-8") for name, value in headers.items()}
        answer = await client.post(path, content=body, headers=sent, timeout=PATIENCE_S)
        about = f"seed {seed}, request {told.total()}: {path} {headers} {body[:2000]!r}: {answer.text}"
        assert answer.status_code in TOLD, about
        assert ("accepted" in answer.json()) if answer.status_code < 300 else answer.json()["code"], about
        told[answer.status_code] += 1
    return told


@pytest.mark.parametrize("length", ["short", pytest.param("long", marks=pytest.mark.long)])
async def test_whatever_a_body_holds_is_answered_and_forgotten(servers, tools, pytestconfig, length: str) -> None:
    """No answer of the server's own failing, and memory as flat as it was."""
    seconds = pytestconfig.getoption("--fuzz-seconds") if length == "long" else SHORT_S
    settings, seed, most_bytes = await tools.fresh_settings(servers), secrets.randbits(32), MOST_BYTES[length]
    async with tools.ready(settings, log_level="ERROR") as (started, client):
        memory = psutil.Process(started.pid).memory_info
        born = memory().rss

        async def send(share: float, first: int) -> Counter[int]:
            senders = (answers_to(client, seed + first + n, most_bytes, seconds * share) for n in range(SENDERS))
            return sum(await asyncio.gather(*senders), Counter[int]())

        for _ in range(3):
            await asyncio.gather(
                *(client.post("/v1/streams/a/records", **heaviest(most_bytes)) for _ in range(SENDERS))
            )
        told = await send(WARM_SHARE, 0)
        warm = memory().rss
        told += await send(1 - WARM_SHARE, SENDERS)
        grown = memory().rss
        assert (await client.post("/v1/streams/a/records", json=A)).status_code == 202
    sizes = [f"{size / MIB:.1f}" for size in (born, warm, grown)]
    print(f"seed {seed}: {dict(sorted(told.items()))}; MiB at the start, warm, at the end: {sizes}")  # noqa: T201
    assert {202, 207, 400, 415, 422} <= told.keys()
    assert grown < warm * GROWTH + GROWTH_BYTES, f"{warm:,} bytes, then {grown:,}"
