"""A record is found by its id, whatever the id is made of."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import quote

import httpx
import pytest

from common.contracts import StoredA, StoredB

Plant = Callable[[Iterable[StoredA]], Awaitable[None]]

AWKWARD = [
    "plain",
    "a/b",
    "/",
    "//",
    "/lead",
    "trail/",
    "a/b/c",
    "%",
    "%2F",
    "%2f",
    "%252F",
    "100%",
    "%zz",
    "?",
    "a?b=c",
    "#",
    "a#b",
    "+",
    "a+b",
    " ",
    "a b ",
    ";",
    "a;v=1",
    "&=",
    "@:!$'()*,",
    "..",
    ".",
    "...",
    "../../etc",
    "lookup",
    "b",
    "4711",
    "é",
    "e\u0301",
    "\ufffd",
    "😀",
    "中文/и",
    "\u202eabc",
    "$where",
    "{'$gt': ''}",
    "a" * 256,
    "😀" * 256,
    "/" * 256,
]


@pytest.mark.parametrize("id_", AWKWARD)
async def test_any_id_is_found(reader: httpx.AsyncClient, plant: Plant, an_a: Callable[..., StoredA], id_: str) -> None:
    """Percent-encoded as a whole; an id of dots needs its dots encoded too, for clients take such segments out."""
    await plant([an_a(id_)])
    encoded = quote(id_, safe="").replace(".", "%2E")
    answer = await reader.get(f"/v1/a/{encoded}")
    assert (answer.status_code, answer.json()["unique_identifier"]) == (200, id_)


@pytest.mark.parametrize("id_", AWKWARD)
async def test_any_id_is_a_parent(
    reader: httpx.AsyncClient, plant: Plant, a_b: Callable[..., StoredB], id_: str
) -> None:
    """The way to the B of an A takes the same ids."""
    await plant([a_b(f"of {id_[:200]}", id_)])
    encoded = quote(id_, safe="").replace(".", "%2E")
    answer = await reader.get(f"/v1/a/{encoded}/b")
    assert [item["Stream_A_unique_identifier"] for item in answer.json()["items"]] == [id_]


async def test_an_a_reads_back_as_it_was_sent(
    reader: httpx.AsyncClient, plant: Plant, an_a: Callable[..., StoredA]
) -> None:
    """With the three times, and nothing of how it is stored."""
    await plant([an_a("read-1")])
    answer = await reader.get("/v1/a/read-1")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "unique_identifier": "read-1",
        "number": 12.5,
        "text": "Please refund.",
        "event_time": "2026-11-23T08:00:00.000Z",
        "ingested_at": "2026-11-23T08:00:01.250417Z",
        "first_seen": "2026-11-23T07:58:20.000Z",
    }


async def test_a_b_reads_back_as_it_was_sent(
    reader: httpx.AsyncClient, plant: Plant, a_b: Callable[..., StoredB]
) -> None:
    """With its parent, and any text: a dollar sign, a NUL and a quote are text like any other."""
    await plant([a_b("read-1", "nobody", text='$number \0 "😀"', number=-0.0)])
    answer = (await reader.get("/v1/b/read-1")).json()
    assert answer["Stream_A_unique_identifier"] == "nobody"
    assert answer["text"] == '$number \0 "😀"'


async def test_the_streams_are_worlds_of_their_own(
    reader: httpx.AsyncClient, plant: Plant, an_a: Callable[..., StoredA], a_b: Callable[..., StoredB]
) -> None:
    """An A's id says nothing of a B with the same one."""
    await plant([an_a("only-a"), a_b("only-b", "only-a")])
    assert (await reader.get("/v1/b/only-a")).status_code == 404
    assert (await reader.get("/v1/a/only-b")).status_code == 404


async def test_what_changes_is_read_anew(reader: httpx.AsyncClient, plant: Plant, an_a: Callable[..., StoredA]) -> None:
    """Nothing between store and reader remembers."""
    await plant([an_a("fresh", number=1.0)])
    assert (await reader.get("/v1/a/fresh")).json()["number"] == 1.0
    await plant([an_a("fresh", number=2.0)])
    assert (await reader.get("/v1/a/fresh")).json()["number"] == 2.0


async def test_lookups_of_one_moment_get_their_own_answers(
    reader: httpx.AsyncClient, plant: Plant, an_a: Callable[..., StoredA], a_b: Callable[..., StoredB]
) -> None:
    """They are fetched together; none gets another's, nor another stream's."""
    await plant([an_a(f"many-{n}", number=float(n)) for n in range(20)])
    await plant([a_b("many-3", "x", number=300.0)])
    paths = [f"/v1/a/many-{n % 25}" for n in range(75)] + ["/v1/b/many-3"]
    answers = await asyncio.gather(*map(reader.get, paths))
    *of_a, of_b = [answer.json().get("number") for answer in answers]
    assert of_a == [float(n % 25) if n % 25 < 20 else None for n in range(75)]
    assert of_b == 300.0


async def test_a_trace_runs_through(reader: httpx.AsyncClient) -> None:
    """The caller's trace is continued; the answer names it, in its problem too."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    answer = await reader.get("/v1/a/unknown", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    assert answer.headers["x-trace-id"] == trace
    assert answer.json()["trace_id"] == trace
