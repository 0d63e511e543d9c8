"""From an alert in the log to a webhook's receiver: once, signed, in order, and written down."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from common.alerts import Alert
from common.deliveries import DeliveryState

HOUR_MS = 3_600_000


async def test_an_alert_is_stored_and_delivered(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert]
) -> None:
    """The receiver verifies it; the alert and its delivery can be read."""
    await bench.destination("ops", url=receiver.url)
    alert = an_alert("b-1")
    async with notifying():
        await bench.raise_(alert)
        await bench.until(lambda: receiver.messages)
        await bench.until(lambda: _all(bench, "delivered"))
    (message,) = receiver.messages
    (shown,) = message["data"]["alerts"]
    assert (message["type"], message["id"]) == ("alert.fired", f"{alert.id}-ops")
    assert (shown["id"], shown["rule"], shown["rule_version"]) == (alert.id, "refunds", 7)
    assert shown["record"]["Stream_A_unique_identifier"] == "a-1"
    assert shown["matches"] == [{"field": "text", "start": 2, "end": 8, "text": "refund", "pattern": "refund"}]
    (delivery,) = await bench.deliveries()
    assert [(one.status, one.error, one.response) for one in delivery.attempts] == [(200, None, "thank you")]
    stored = await bench.database["alerts"].find_one({"_id": alert.id})
    assert (stored["a_id"], stored["state"], stored["record_id"]) == ("a-1", "open", "b-1")


async def test_a_repeated_alert_tells_nobody_again(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert]
) -> None:
    """Whether it comes in the same batch, later, or to a notifier that was started anew; each is another hit."""
    await bench.destination("ops", url=receiver.url)
    alert, other = an_alert("b-1"), an_alert("b-2")
    async with notifying():
        await bench.raise_(alert, alert)
        await bench.until(lambda: receiver.messages)
        await bench.raise_(alert)
    async with notifying():
        await bench.raise_(alert, other)
        await bench.until(lambda: len(receiver.messages) >= 2)
        await bench.until(lambda: bench.hits_are("refunds", 5))
    assert receiver.alerts == ["b-1", "b-2"]


async def test_first_attempts_leave_in_order_and_a_retry_blocks_nobody(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert], clock: Any
) -> None:
    """One message fails at first; the others go past it, and it comes after its wait with the same id."""
    failed = []

    def answer(message: dict[str, Any]) -> web.Response:
        if message["data"]["alerts"][0]["record"]["unique_identifier"] == "b-03" and not failed:
            failed.append(message)
            return web.Response(status=500, text="not now")
        return web.Response()

    receiver.answer = answer
    await bench.destination("ops", url=receiver.url)
    alerts = [an_alert(f"b-{n:02}", id=f"{n:032}") for n in range(20)]
    async with notifying(clock, send_at_once=1):
        await bench.raise_(*alerts)
        await bench.until(lambda: len(receiver.messages) == 20)
        # Three partitions, each in its order.
        assert sorted(receiver.alerts) == [f"b-{n:02}" for n in range(20)]
        await bench.until(lambda: _count(bench, "pending", 1))
        clock.advance(ms=10_000)
        await bench.until(lambda: _all(bench, "delivered"))
    assert receiver.alerts[-1] == "b-03"
    assert receiver.messages[-1]["id"] == failed[0]["id"]
    assert int(receiver.messages[-1]["at"]) >= int(failed[0]["at"]) + 10
    (retried,) = await bench.deliveries(tries=2)
    assert [(one.status, one.error) for one in retried.attempts] == [(500, "answered 500"), (200, None)]


async def test_old_records_are_kept_and_not_sent(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert], clock: Any
) -> None:
    """A replay of last week is no news."""
    await bench.destination("ops", url=receiver.url)
    old = an_alert("old", event_time=clock.now_ms() - 24 * HOUR_MS - 1)
    async with notifying(clock):
        await bench.raise_(old, an_alert("new", event_time=clock.now_ms() - 23 * HOUR_MS))
        await bench.until(lambda: receiver.messages)
        await bench.until(lambda: _count(bench, "delivered", 1))
    assert receiver.alerts == ["new"]
    (kept,) = await bench.deliveries(state=DeliveryState.TOO_OLD.value)
    assert kept.detail == "its record was 24.0 hours old"


async def test_two_secrets_sign_during_a_rotation(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert], clock: Any
) -> None:
    """A receiver that knows only the former one, or only the new one, verifies; afterwards only the new one counts."""
    former, new = receiver.secrets[0], "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    until = clock.now_ms() + HOUR_MS
    await bench.destination("ops", new, url=receiver.url, former_secret=former, former_until=until)
    async with notifying(clock):
        await bench.raise_(an_alert("b-1"))
        await bench.until(lambda: receiver.messages)
        receiver.secrets = [new]
        await bench.raise_(an_alert("b-2"))
        await bench.until(lambda: len(receiver.messages) == 2)
        clock.advance(ms=HOUR_MS)
        receiver.secrets = [former]
        await bench.raise_(an_alert("b-3"))
        await bench.until(lambda: receiver.unverified)
    assert receiver.alerts == ["b-1", "b-2"]


async def test_a_redirect_is_not_followed(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert]
) -> None:
    """Wherever it leads: it is an answer like any other that is not 2xx."""
    receiver.answer = lambda _message: web.Response(status=302, headers={"Location": receiver.url + "?again"})
    await bench.destination("ops", url=receiver.url)
    async with notifying():
        await bench.raise_(an_alert("b-1"))
        await bench.until(lambda: bench.count("pending", 1))
    assert len(receiver.messages) == 1
    (delivery,) = await bench.deliveries()
    assert delivery.attempts[0].error == "answered 302"


async def test_no_secret_is_logged(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert], capsys: Any
) -> None:
    """Neither where all is well nor where it is not."""
    await bench.destination("ops", url="http://127.0.0.1:1/")
    await bench.destination("team", url=receiver.url)
    async with notifying():
        await bench.raise_(an_alert("b-1", destinations=("ops", "team")))
        await bench.until(lambda: bench.count("delivered", 1))
        await bench.until(lambda: bench.count("pending", 1))
    told = capsys.readouterr()
    assert "lane_started" in told.out + told.err
    assert receiver.secrets[0][6:] not in told.out + told.err


async def _all(bench: Any, state: str) -> bool:
    return set(await bench.states()) == {state}


async def _count(bench: Any, state: str, count: int) -> bool:
    return (await bench.states()).count(state) == count
