"""Destinations that fail, are gone or are taken away: what becomes of what was to be sent there."""

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import REGISTRY

from common.alerts import Alert
from common.deliveries import DeliveryState, DestinationHealth
from signals.notifier.delivery_store import DeliveryStore

HOUR_MS = 3_600_000
GONE = "the receiver answered 410: it wants nothing more"


def given_up(what: str) -> float:
    return REGISTRY.get_sample_value(f"twinstream_{what}_given_up_total", {"kind": "webhook"}) or 0.0


async def test_a_destination_that_keeps_failing_is_left_alone_for_a_while(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert], clock: Any
) -> None:
    """Then one message tries it, and the others follow in order once it arrived."""
    down = True
    receiver.answer = lambda _message: web.Response(status=503 if down else 200)
    await bench.destination("ops", url=receiver.url)
    async with notifying(clock, send_at_once=1):
        await bench.raise_(*(an_alert(f"b-{n}", id=f"{n:032}") for n in range(12)))
        await bench.until(lambda: len(receiver.messages) == 5)
        health = await bench.until_health("ops", failures=5)
        assert (health["failing_since"] is not None, health["last_error"]) == (True, "answered 503")
        assert len(receiver.messages) == 5
        down = False
        clock.advance(ms=40_000)
        await bench.until(lambda: bench.count("delivered", 12))
        health = await bench.until_health("ops", failures=0)
    assert health["failing_since"] is None
    assert sorted(set(receiver.alerts)) == sorted(f"b-{n}" for n in range(12))


async def test_a_receiver_that_is_gone_is_told_of_elsewhere(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert], clock: Any
) -> None:
    """410 gives a destination up at once, and counts it as such; written anew it begins anew."""
    before = given_up("destinations"), given_up("deliveries")

    async def told_again() -> bool:  # it is not known at once that the destination was written anew
        await bench.raise_(an_alert("b-3"))
        return len(receiver.messages) > 2

    receiver.answer = lambda message: web.Response(status=410 if message["type"] == "alert.fired" else 200)
    await bench.destination("ops", url=receiver.url, fallback="team")
    await bench.destination("team", url=receiver.url)
    await bench.destination("apps", url=receiver.url)
    async with notifying(clock):
        await bench.raise_(an_alert("b-1"))
        await bench.until(lambda: len(receiver.messages) == 2)
        await bench.raise_(an_alert("b-2"))
        await bench.until(lambda: bench.count("failed", 2))
        receiver.answer = None
        await bench.destination("ops", url=receiver.url)
        await bench.until(told_again)
    assert given_up("destinations") == before[0] + 1
    assert given_up("deliveries") >= before[1] + 2
    notice, last = receiver.messages[1:3]
    assert notice["type"] == "destination.disabled"
    assert f"'ops' was given up: {GONE}." in notice["data"]["text"]
    assert [one.destination for one in await bench.deliveries(kind="notice")] == ["team"]
    assert last["data"]["alerts"][0]["record"]["unique_identifier"] == "b-3"
    refused = await bench.deliveries(state="failed", tries=0)
    assert {one.detail for one in refused} == {f"the destination is disabled: {GONE}"}


async def test_days_of_failure_give_a_destination_up(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert], clock: Any
) -> None:
    """What is open is kept as failed, and another destination, not one that was given up too, is told since when.

    The notice is written first: whoever ends in between gives the destination up once more, and tells of it once.
    """
    seen, put_health = list[int](), DeliveryStore.put_health

    async def put(store: DeliveryStore, health: DestinationHealth) -> None:
        if health.disabled_at is not None:
            seen.append(len(await bench.deliveries(kind="notice")))
        await put_health(store, health)

    receiver.answer = lambda message: web.Response(status=500 if message["type"] == "alert.fired" else 200)
    await bench.destination("ops", url=receiver.url)
    await bench.destination("team", url=receiver.url)
    version = await bench.destination("apps", url=receiver.url)
    apps = {"_id": "apps", "version": version, "disabled_at": clock.now_ms(), "changed_at": clock.now_ms()}
    await bench.database["destinations"].insert_one(apps)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(DeliveryStore, "put_health", put)
        async with notifying(clock, give_up_hours=1):
            await bench.raise_(an_alert("b-1"))
            await bench.until_health("ops", failures=1)
            clock.advance(ms=HOUR_MS + 1)
            await bench.until(lambda: [one for one in receiver.messages if one["type"] == "destination.disabled"])
            await bench.until(lambda: bench.count("failed", 1))
    (notice,) = [one for one in receiver.messages if one["type"] == "destination.disabled"]
    assert "nothing has arrived for 1 hours; last: answered 500" in notice["data"]["text"]
    assert [one.destination for one in await bench.deliveries(kind="notice")] == ["team"]
    assert seen == [1]


@pytest.mark.parametrize("tried_long", [False, True], ids=["open", "failed"])
async def test_what_a_destination_was_to_be_told_goes_to_another_once_it_is_given_up(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert], clock: Any, *, tried_long: bool
) -> None:
    """Notices are for people who would otherwise know of nothing, and say the same wherever they arrive."""
    receiver.answer = lambda message: web.Response(status={"ops": 410, "team": 500, "apps": 200}[message["to"]])
    for name, fallback in (("ops", "team"), ("team", "apps"), ("apps", None)):
        await bench.destination(name, url=f"{receiver.url}?{name}", fallback=fallback)
    async with notifying(clock, give_up_hours=1):
        await bench.raise_(an_alert("b-1"))
        await bench.until_health("team", failures=1)
        if tried_long:
            failed = {"state": "failed", "due_at": None, "detail": "answered 500"}
            await bench.database["deliveries"].update_one({"kind": "notice"}, {"$set": failed})
        clock.advance(ms=HOUR_MS + 1)
        await bench.raise_(an_alert("b-2", destinations=("team",)))
        await bench.until(lambda: len([one for one in receiver.messages if one["to"] == "apps"]) == 2)
    told = sorted(one["data"]["text"] for one in receiver.messages if one["to"] == "apps")
    assert [text.partition(" was")[0] for text in told] == ["The destination 'ops'", "The destination 'team'"]


async def test_a_destination_that_is_gone_leaves_nothing_open(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert], clock: Any
) -> None:
    """What was still to be sent there is kept as failed, and says why."""
    receiver.answer = lambda _message: web.Response(status=500)
    await bench.destination("ops", url=receiver.url)
    async with notifying(clock):
        await bench.raise_(an_alert("b-1"))
        await bench.until(lambda: bench.count("pending", 1))
        await bench.no_destination("ops")
        await bench.until(lambda: bench.count("failed", 1))
    (delivery,) = await bench.deliveries(state=DeliveryState.FAILED.value)
    assert delivery.detail == "there is no such destination"
