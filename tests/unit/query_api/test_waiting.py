"""Waiting for a receipt: until the store is past it, and no longer than asked."""

from collections.abc import Iterator

import pytest

from common.errors import Refused
from query_api.waiting import passed


def positions(*stages: dict[str, int]) -> Iterator[dict[str, int]]:
    """What the store says, question by question; the last stage stays."""
    yield from stages
    while True:
        yield stages[-1]


def asked(*stages: dict[str, int]):
    told = positions(*stages)

    async def position_of(name: str) -> int | None:
        return next(told).get(name)

    return position_of


async def test_what_is_past_already_is_not_waited_for() -> None:
    """A timeout of nothing is enough when the store is there."""
    await passed(asked({"records.b/2": 8}), {("records.b", 2): 7}, timeout_ms=0)


async def test_the_offset_itself_must_be_taken_in() -> None:
    """A position is the next offset to read: one that equals the receipt's has not read it."""
    with pytest.raises(Refused, match=r"records.b/2 stands at 7 in the store, the receipt at 7"):
        await passed(asked({"records.b/2": 7}), {("records.b", 2): 7}, timeout_ms=0)


async def test_it_waits_for_every_partition() -> None:
    """The last of them decides."""
    stages = [{}, {"records.a/0": 1}, {"records.a/0": 1}, {"records.a/0": 1, "records.a/1": 5}]
    await passed(asked(*stages), {("records.a", 0): 0, ("records.a", 1): 4}, timeout_ms=5000)


async def test_a_receipt_of_nothing_is_past() -> None:
    """Where no record was accepted there is nothing to wait for."""
    await passed(asked({}), {}, timeout_ms=0)
