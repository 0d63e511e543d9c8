"""An id that was erased leaves nothing of its record in alerts, and nobody is told of it any more."""

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from common.alerts import Alert
from common.contracts import Collections


async def until_erased(bench: Any, *alerts: Alert) -> None:
    async def erased() -> bool:
        return all([(await bench.alert(alert.id)).erased_at for alert in alerts])

    await bench.until(erased)


async def test_what_was_told_keeps_no_more_than_that_it_was(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert]
) -> None:
    """Rule and time stay, record, matches and what the receiver answered go; what was sent behind it stays whole."""
    receiver.answer = lambda message: web.Response(text=message["data"]["alerts"][0]["record"]["text"])
    await bench.destination("ops", url=receiver.url)
    alert, later, other = (an_alert(id_, offset=at) for id_, at in (("b-1", 3), ("b-1", 5), ("b-2", 4)))
    async with notifying():
        await bench.raise_(alert, later, other)
        await bench.until(lambda: bench.count("delivered", 3))
        await bench.erase("b-1", 4)
        await until_erased(bench, alert)
    kept = await bench.alert(alert.id)
    assert (kept.record, kept.record_id, kept.a_id, kept.matches) == ("", "", "", ())
    assert (kept.rule, kept.raised_at, kept.erased_by) == ("refunds", alert.raised_at, 4)
    assert [(await bench.alert(one.id)).record_id for one in (later, other)] == ["b-1", "b-2"]
    (delivery,) = await bench.deliveries(alert=alert.id)
    assert (delivery.state, delivery.a_id) == ("delivered", None)
    assert [(one.status, one.response) for one in delivery.attempts] == [(200, None)]


async def test_what_has_not_left_is_told_to_nobody(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert], clock: Any
) -> None:
    """Whether it waits for its digest, which goes without it, or for its next attempt, by itself or in a digest."""
    receiver.answer = lambda message: web.Response(status=500 if message["id"].endswith("-down") else 200)
    await bench.destination("ops", url=receiver.url)
    await bench.destination("down", url=receiver.url)
    grouped = {"group_seconds": 60, "destinations": ("ops", "down")}
    first, *held = (an_alert(f"b-{n}", offset=n, **grouped) for n in range(4))
    async with notifying(clock):
        await bench.raise_(first)
        await bench.until(lambda: bench.count("pending", 1))
        await bench.until(lambda: bench.count("delivered", 1))
        await bench.raise_(*held)
        await bench.until(lambda: bench.count("held", 6))
        await bench.erase("b-0", 9)
        await bench.erase("b-1", 9)
        await until_erased(bench, first, held[0])
        tried = len([one for one in receiver.messages if one["id"].endswith("-down")])
        clock.advance(ms=60_000)
        await bench.until(lambda: digests(receiver, "ops"))
        await bench.until(lambda: bench.count("erased", 3))
        await bench.until(lambda: bench.count("pending", 1))  # the other destination's digest has failed
        await bench.erase("b-2", 9)
        await until_erased(bench, held[1])
        receiver.answer = None
        clock.advance(ms=10_000)
        await bench.until(lambda: len(digests(receiver, "down")) == 2)
    (digest,), (_, retried) = digests(receiver, "ops"), digests(receiver, "down")
    assert {one["record"]["unique_identifier"] for one in digest["data"]["alerts"]} == {"b-2", "b-3"}
    assert [one["record"]["unique_identifier"] for one in retried["data"]["alerts"]] == ["b-3"]
    assert [one["data"]["digest"]["total"] for one in (digest, retried)] == [2, 1]
    down = [one for one in receiver.messages if one["id"].endswith("-down") and one["type"] == "alert.fired"]
    assert len(down) == tried == 1


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one after the other"])
async def test_what_is_sent_again_behind_its_erasure_is_raised_anew(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert], *, together: bool
) -> None:
    """Under the id that the same text always has; what a replay of the log brings of before is known."""
    await bench.destination("ops", url=receiver.url)
    before = an_alert("b-1", id="1" * 32, offset=3, text="before")
    behind = an_alert("b-1", id="1" * 32, offset=5, text="behind")
    async with notifying():
        if not together:
            await bench.raise_(before)
            await bench.until(lambda: receiver.messages)
            await bench.erase("b-1", 4)
            await until_erased(bench, before)
            await bench.raise_(before)
        else:
            await bench.raise_(before)
            await bench.erase("b-1", 4)
        await bench.raise_(behind)
        await bench.until(lambda: [one for one in texts(receiver) if one == "behind"])
        await bench.erase("b-1", 4)
        await bench.raise_(before, an_alert("b-2", text="last"))
        await bench.until(lambda: [one for one in texts(receiver) if one == "last"])
    assert texts(receiver).count("before") <= 1
    assert "before" not in texts(receiver)[texts(receiver).index("behind") :]
    assert (await bench.alert(before.id)).erased_at is None


async def test_an_erased_alert_is_not_sent_again_by_hand(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert], clock: Any
) -> None:
    """There is nothing left to send."""
    await bench.destination("ops", url=receiver.url)
    alert = an_alert("b-1", offset=3)
    async with notifying(clock):
        await bench.raise_(alert)
        await bench.until(lambda: bench.count("delivered", 1))
        await bench.erase("b-1", 4)
        await until_erased(bench, alert)
        called_for = {"state": "pending", "due_at": clock.now_ms()}
        await bench.database[Collections.DELIVERIES].update_one({"alert": alert.id}, {"$set": called_for})
        await bench.until(lambda: bench.count("erased", 1))
    assert len(receiver.messages) == 1


def digests(receiver: Any, destination: str) -> list[Any]:
    return [one for one in receiver.messages if one["id"].endswith(destination) and one["type"] == "alert.digest"]


def texts(receiver: Any) -> list[str]:
    return [alert["record"]["text"] for message in receiver.messages for alert in message["data"]["alerts"]]
