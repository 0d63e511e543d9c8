"""An id that was erased leaves nothing of its record in alerts, and nobody is told of it any more."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web
from prometheus_client import REGISTRY

from common.alerts import Alert, Erasure
from common.contracts import Collections, Stream
from common.deliveries import Attempt
from common.destinations import DestinationKind
from signals.notifier.digests import as_members
from signals.notifier.digests import digests as as_digests
from signals.notifier.documents import Keeping, deliveries, stored
from signals.notifier.settings import NotifierSettings
from signals.notifier.store import Store


@pytest.fixture
def keeping() -> Keeping:
    return Keeping(notify_within_ms=2**52, alerts_days=1, deliveries_days=1)


@pytest_asyncio.fixture
async def store(notifier_settings: NotifierSettings) -> AsyncIterator[Store]:
    store = Store(notifier_settings)
    await store.prepare()
    yield store
    await store.close()


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


async def test_what_another_notifier_erased_does_not_leave_out_of_memory(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert], store: Store
) -> None:
    """It has its own word of it, behind the alert, though nothing is left in MongoDB to find."""
    asked = asyncio.Event()

    async def once_asked(_message: dict[str, Any]) -> web.Response:
        await asked.wait()
        return web.Response()

    async def read(messages: int) -> bool:
        found = await bench.database[Collections.POSITIONS].find({}).to_list()
        return sum(one["offset"] for one in found) == messages

    receiver.answer = once_asked
    await bench.destination("ops", url=receiver.url)
    async with notifying(send_at_once=1, send_timeout_ms=60_000):
        await bench.raise_(an_alert("b-1", offset=1))
        await bench.until(lambda: receiver.messages)
        waiting = an_alert("b-2", offset=2)
        await bench.raise_(waiting)
        await bench.until(lambda: read(2))
        await store.erasing.erase([Erasure(stream=Stream.B, record_id="b-2", offset=9)], 1)
        await bench.erase("b-2", 9)
        await bench.until(lambda: read(2 + 3))
        asked.set()
        await bench.until(lambda: bench.count("delivered", 1))
        await bench.raise_(an_alert("b-3", offset=3))
        await bench.until(lambda: bench.count("delivered", 2))
    assert receiver.alerts == ["b-1", "b-3"]
    assert await bench.count("erased", 1)


async def test_what_is_answered_to_a_digest_on_its_way_is_not_kept(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert], clock: Any
) -> None:
    """Neither what comes behind the erasure, nor what had come before and is still in memory."""
    arrived, asked = asyncio.Event(), asyncio.Event()

    async def repeat(message: dict[str, Any]) -> web.Response:
        if len(digests(receiver, "ops")) == 2:
            arrived.set()
            await asked.wait()
        status = 500 if len(digests(receiver, "ops")) == 1 else 200
        return web.Response(status=status, text=" ".join(one["record"]["text"] for one in message["data"]["alerts"]))

    receiver.answer = repeat
    await bench.destination("ops", url=receiver.url)
    first, erased, other = (an_alert(f"b-{n}", offset=n, text=f"refund b-{n}", group_seconds=60) for n in range(3))
    async with notifying(clock, send_timeout_ms=60_000):
        await bench.raise_(first)
        await bench.until(lambda: bench.count("delivered", 1))
        await bench.raise_(erased, other)
        await bench.until(lambda: bench.count("held", 2))
        clock.advance(ms=60_000)
        await bench.until_health("ops", failures=1)
        clock.advance(ms=10_000)
        await asyncio.wait_for(arrived.wait(), 60)
        await bench.erase("b-1", 9)
        await until_erased(bench, erased)
        asked.set()
        await bench.until(lambda: bench.count("delivered", 3))
    (digest,) = await bench.deliveries(kind="digest")
    assert [(one.status, one.response) for one in digest.attempts] == [(500, None), (200, None)]


async def test_what_was_answered_goes_too_where_a_member_was_called_for_by_itself(
    store: Store, bench: Any, an_alert: Callable[..., Alert], keeping: Keeping
) -> None:
    """Its delivery no longer says that it leaves in the digest, but that it once did."""
    alert = an_alert("b-1", offset=3)
    document = stored(alert, 1, keeping)
    held = deliveries(alert, document, 1, keeping)
    (digest,) = as_digests(held, DestinationKind.WEBHOOK, 1)
    answered = Attempt(at=1, latency_ms=1, status=500, error="answered 500", response="A refund, please.")
    called_for = [msgspec.structs.replace(one, message=None) for one in as_members(digest, held, 1)]
    await store.insert_alerts([document])
    await store.deliveries.insert([*called_for, msgspec.structs.replace(digest, attempts=(answered,))])
    await store.erasing.erase([Erasure(stream=Stream.B, record_id="b-1", offset=4)], 1)
    (kept,) = await bench.deliveries(kind="digest")
    assert kept.attempts == (msgspec.structs.replace(answered, response=None),)


async def test_many_ids_are_looked_for_at_once(
    store: Store, bench: Any, an_alert: Callable[..., Alert], keeping: Keeping
) -> None:
    """Of which few were ever told of: alerts wait behind them; each takes what stands before its own tombstone."""
    alerts = [an_alert(f"b-{n}", offset=n) for n in range(0, 2_000, 500)]
    await store.insert_alerts([stored(alert, 1, keeping) for alert in alerts])
    erasures = [Erasure(stream=Stream.B, record_id=f"b-{n}", offset=n + (n != 500)) for n in range(2_000)]
    erasures += [Erasure(stream=Stream.A, record_id="b-500", offset=9_000)]
    before = calls()
    await store.erasing.erase(erasures, 7)
    assert calls() - before < 30
    assert [(await bench.alert(one.id)).erased_by for one in alerts] == [1, None, 1_001, 1_501]


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


def calls() -> float:
    """How often MongoDB was asked for the sake of an erasure."""
    labels = {"service": "notifier", "operation": "erase"}
    return REGISTRY.get_sample_value("twinstream_store_seconds_count", labels) or 0


def digests(receiver: Any, destination: str) -> list[Any]:
    return [one for one in receiver.messages if one["id"].endswith(destination) and one["type"] == "alert.digest"]


def texts(receiver: Any) -> list[str]:
    return [alert["record"]["text"] for message in receiver.messages for alert in message["data"]["alerts"]]
