"""The B of an A, page by page: complete, in order, and undisturbed where it promises so."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

import httpx
import pytest
import pytest_asyncio

from common.contracts import StoredA, StoredB

Plant = Callable[[Iterable[StoredA]], Awaitable[None]]

EIGHT = 1_795_420_800_000  # 2026-11-23T08:00:00Z
TIMES = [EIGHT + n // 7 for n in range(40)]  # seven of each: ties within a page and across pages
IDS = [f"{letter}{n:02}" for n, letter in enumerate("zbéa😀Z~0" * 5)]


@pytest_asyncio.fixture(scope="module", autouse=True)
async def planted(plant: Plant, a_b: Callable[..., StoredB]) -> None:
    """Forty B of one A in no particular order, and some of its neighbours."""
    await plant([a_b(id_, "parent", event_time=TIMES[n * 17 % 40]) for n, id_ in enumerate(IDS)])
    await plant([a_b(f"other-{n}", other, event_time=EIGHT) for n, other in enumerate(["paren", "parent ", "Parent"])])


async def pages(reader: httpx.AsyncClient, a_id: str, **parameters: Any) -> AsyncIterator[list[dict[str, Any]]]:
    cursor: str | None = None
    while True:
        asked = parameters | ({"cursor": cursor} if cursor else {})
        answer = await reader.get(f"/v1/a/{a_id}/b", params=asked)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        yield body["items"]
        cursor = body["next_cursor"]
        if cursor is None:
            return


async def walked(reader: httpx.AsyncClient, **parameters: Any) -> list[tuple[str, str]]:
    return [
        (item["event_time"], item["unique_identifier"])
        async for items in pages(reader, "parent", **parameters)
        for item in items
    ]


def newest_first(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    by_id = sorted(found, key=lambda one: one[1])
    return sorted(by_id, key=lambda one: one[0], reverse=True)


@pytest.mark.parametrize("limit", [1, 2, 7, 10, 39, 40, 41, 1000])
async def test_newest_first_is_complete_in_pages_of_any_size(reader: httpx.AsyncClient, limit: int) -> None:
    """Equal times by id, within a page and from one to the next."""
    found = await walked(reader, limit=limit)
    assert found == newest_first(found)
    assert sorted(id_ for _, id_ in found) == sorted(IDS)


@pytest.mark.parametrize("limit", [1, 2, 7, 10, 39, 40, 41, 1000])
async def test_by_id_is_complete_in_pages_of_any_size(reader: httpx.AsyncClient, limit: int) -> None:
    """In the order of code points, which is that of UTF-8's bytes."""
    assert [id_ for _, id_ in await walked(reader, limit=limit, order="id")] == sorted(IDS)


@pytest.mark.parametrize("order", ["time", "id"])
@pytest.mark.parametrize("limit", [3, 1000])
@pytest.mark.parametrize(
    ("since", "least"),
    [
        ("2026-11-23T08:00:00.003Z", "2026-11-23T08:00:00.003Z"),
        ("2026-11-23T09:00:00.003+01:00", "2026-11-23T08:00:00.003Z"),
        (str(EIGHT + 3), "2026-11-23T08:00:00.003Z"),
        ("2026-11-23T08:00:00.0021Z", "2026-11-23T08:00:00.003Z"),
        ("2026-11-23T08:00:00Z", "2026-11-23T08:00:00.000Z"),
        ("2026-11-24T00:00:00Z", "2026-11-24T00:00:00.000Z"),
    ],
)
async def test_since_leaves_out_what_is_older(
    reader: httpx.AsyncClient, order: str, limit: int, since: str, least: str
) -> None:
    """And nothing else: a record of that very millisecond is in."""
    everything = await walked(reader, limit=1000, order=order)
    assert await walked(reader, limit=limit, order=order, since=since) == [one for one in everything if one[0] >= least]


async def test_the_order_is_newest_first_unless_said(reader: httpx.AsyncClient) -> None:
    """And a page has a hundred."""
    default = (await reader.get("/v1/a/parent/b")).json()
    assert default == (await reader.get("/v1/a/parent/b", params={"order": "time", "limit": 100})).json()
    assert len(default["items"]) == 40


async def test_a_full_last_page_ends_the_walk(reader: httpx.AsyncClient) -> None:
    """No cursor leads to an empty page."""
    assert [len(items) async for items in pages(reader, "parent", limit=20)] == [20, 20]


async def test_an_a_without_b_has_an_empty_page(
    reader: httpx.AsyncClient, plant: Plant, an_a: Callable[..., StoredA]
) -> None:
    """As has one that nobody knows: B may come before their A."""
    await plant([an_a("childless")])
    for a_id in ("childless", "never-heard-of"):
        answer = await reader.get(f"/v1/a/{a_id}/b")
        assert (answer.status_code, answer.json()) == (200, {"items": [], "next_cursor": None})


async def test_the_size_of_a_page_may_change_on_the_way(reader: httpx.AsyncClient) -> None:
    """The limit is no part of the walk."""
    first = (await reader.get("/v1/a/parent/b", params={"limit": 5})).json()
    rest = (await reader.get("/v1/a/parent/b", params={"limit": 50, "cursor": first["next_cursor"]})).json()
    assert len(first["items"]) + len(rest["items"]) == 40


async def test_a_walk_by_id_meets_each_once_while_all_are_refreshed(
    reader: httpx.AsyncClient, plant: Plant, a_b: Callable[..., StoredB]
) -> None:
    """Refreshed records get new times, again and again, between and during the pages."""
    ids = [f"live-{n:03}" for n in range(120)]
    await plant([a_b(id_, "living", event_time=EIGHT) for id_ in ids])
    refreshed = 0

    async def refresh() -> None:
        nonlocal refreshed
        while True:
            await plant([a_b(ids[refreshed * 53 % 120], "living", event_time=EIGHT + refreshed * 7919 % 1000)])
            refreshed += 1

    refreshing = asyncio.create_task(refresh())
    walks: list[list[str]] = []
    async with asyncio.timeout(120):
        while refreshed < 150 or len(walks) < 3:
            walks.append(
                [
                    item["unique_identifier"]
                    async for items in pages(reader, "living", limit=9, order="id")
                    for item in items
                ]
            )
    refreshing.cancel()
    with suppress(asyncio.CancelledError):
        await refreshing
    assert walks == [ids] * len(walks)


async def test_one_that_is_refreshed_moves_to_the_front(
    reader: httpx.AsyncClient, plant: Plant, a_b: Callable[..., StoredB]
) -> None:
    """Who reads newest first, and has passed the front, does not meet it again; those not refreshed are all met."""
    await plant([a_b(f"m{n}", "moving", event_time=EIGHT + n) for n in range(6)])
    walk = pages(reader, "moving", limit=2)
    seen = [item["unique_identifier"] for item in await anext(walk)]
    await plant([a_b("m0", "moving", event_time=EIGHT + 100)])
    seen += [item["unique_identifier"] async for items in walk for item in items]
    assert seen == ["m5", "m4", "m3", "m2", "m1"]


async def test_a_b_that_changes_its_a_moves_there(
    reader: httpx.AsyncClient, plant: Plant, a_b: Callable[..., StoredB]
) -> None:
    """Its newest version says whose it is."""
    await plant([a_b("wanderer", "from")])
    await plant([a_b("wanderer", "to")])
    assert (await reader.get("/v1/a/from/b")).json()["items"] == []
    assert [item["unique_identifier"] for item in (await reader.get("/v1/a/to/b")).json()["items"]] == ["wanderer"]
