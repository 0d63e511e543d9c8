"""Many records at once, in the order of their ids."""

from collections.abc import Awaitable, Callable, Iterable

import httpx
import pytest
import pytest_asyncio

from common.contracts import StoredA, StoredB

Plant = Callable[[Iterable[StoredA]], Awaitable[None]]


@pytest_asyncio.fixture(scope="module", autouse=True)
async def planted(plant: Plant, an_a: Callable[..., StoredA], a_b: Callable[..., StoredB]) -> None:
    await plant([an_a("1"), an_a("2"), an_a("x/y"), an_a("😀" * 256), a_b("1", "2")])
    await plant([an_a(f"bulk-{n}") for n in range(0, 1000, 10)])


async def ids_found(reader: httpx.AsyncClient, stream: str, ids: list[object]) -> list[str | None]:
    answer = await reader.post(f"/v1/{stream}/lookup", json={"ids": ids})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    return [item and item["unique_identifier"] for item in answer.json()["items"]]


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        (["1"], ["1"]),
        (["unknown"], [None]),
        (["2", "unknown", "1"], ["2", None, "1"]),
        (["2", "1", "2", "2"], ["2", "1", "2", "2"]),
        (["x/y", "😀" * 256], ["x/y", "😀" * 256]),
        ([1, "1", 2, -7], ["1", "1", "2", None]),
        ([10**30], [None]),
    ],
)
async def test_answers_in_order(reader: httpx.AsyncClient, ids: list[object], found: list[str | None]) -> None:
    """Null where there is none, again where an id stands again; an integer is its decimal string."""
    assert await ids_found(reader, "a", ids) == found


async def test_answers_a_thousand(reader: httpx.AsyncClient) -> None:
    """The most that may be asked for at once."""
    ids = [f"bulk-{n}" for n in range(1000)]
    assert await ids_found(reader, "a", [*ids]) == [id_ if n % 10 == 0 else None for n, id_ in enumerate(ids)]


async def test_a_thousand_of_the_longest_ids_fit(reader: httpx.AsyncClient) -> None:
    """Even with every character escaped, as some JSON libraries do."""
    escaped = "\\ud83d\\ude00" * 253
    body = '{"ids": [' + ", ".join(f'"{escaped}{n:03}"' for n in range(1000)) + "]}"
    answer = await reader.post("/v1/a/lookup", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200
    assert answer.json() == {"items": [None] * 1000}


async def test_each_stream_has_its_own(reader: httpx.AsyncClient) -> None:
    """B's records name their A."""
    answer = await reader.post("/v1/b/lookup", json={"ids": ["1", "2"]})
    found, unknown = answer.json()["items"]
    assert (found["Stream_A_unique_identifier"], unknown) == ("2", None)


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"']
)
async def test_takes_json_however_it_is_called(reader: httpx.AsyncClient, content_type: str) -> None:
    """With or without a charset."""
    answer = await reader.post("/v1/a/lookup", content=b'{"ids": ["1"]}', headers={"Content-Type": content_type})
    assert answer.status_code == 200
