"""What keeps messages back, gives destinations up and hands them over: by a clock that the test holds."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from common.alerts import Alert, Severity

HOUR_MS = 3_600_000


def states(found: list[Any]) -> list[str]:
    return [one.state.value for one in found]


async def test_a_cooldown_survives_a_restart(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert], clock: Any
) -> None:
    """What last left is known from MongoDB; once it is over, the next one leaves."""
    await bench.destination("ops", url=receiver.url)
    async with notifying(clock):
        await bench.raise_(an_alert("b-1", cooldown_seconds=60))
        await bench.until(lambda: bench.count("delivered", 1))
    clock.advance(ms=30_000)
    async with notifying(clock):
        await bench.raise_(an_alert("b-2", cooldown_seconds=60))
        await bench.until(lambda: bench.count("cooled", 1))
        await bench.raise_(an_alert("b-3", cooldown_seconds=20))
        await bench.until(lambda: bench.count("delivered", 2))
    assert receiver.alerts == ["b-1", "b-3"]
    (cooled,) = await bench.deliveries(state="cooled")
    assert cooled.detail.startswith("cooldown until")


async def test_a_group_leaves_its_first_at_once_and_the_rest_in_one_digest(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert], clock: Any
) -> None:
    """With exact counts, also when the notifier is started anew within the window."""
    await bench.destination("ops", url=receiver.url)
    grouped = {"group_seconds": 60, "severity": Severity.CRITICAL}
    async with notifying(clock):
        await bench.raise_(an_alert("first", **grouped))
        await bench.until(lambda: bench.count("delivered", 1))
        clock.advance(ms=1_000)
        await bench.raise_(*(an_alert(f"b-{n}", **grouped) for n in range(7)))
        await bench.until(lambda: bench.count("held", 7))
    clock.advance(ms=30_000)
    async with notifying(clock):
        await bench.raise_(*(an_alert(f"c-{n}", **grouped) for n in range(5)))
        await bench.until(lambda: bench.count("held", 12))
        assert len(receiver.messages) == 1
        clock.advance(ms=29_001)
        await bench.until(lambda: bench.count("delivered", 14))  # the digest has a delivery of its own
        await bench.raise_(an_alert("next", **grouped))
        await bench.until(lambda: bench.count("delivered", 15))
    first, digest, next_ = receiver.messages
    assert (first["type"], digest["type"], next_["type"]) == ("alert.fired", "alert.digest", "alert.fired")
    assert digest["data"]["digest"] == {"total": 12, "part": 1, "parts": 1}
    assert len(set(receiver.alerts)) == len(receiver.alerts) == 14
    members = await bench.deliveries(message=digest["id"])
    assert states(members) == ["delivered"] * 12


async def test_a_large_digest_is_cut_into_parts_that_lose_nothing(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert], clock: Any
) -> None:
    """A hundred alerts a message; each says how many there are in all."""
    await bench.destination("ops", url=receiver.url)
    async with notifying(clock):
        await bench.raise_(an_alert("first", group_seconds=60))
        await bench.until(lambda: bench.count("delivered", 1))
        await bench.raise_(*(an_alert(f"b-{n}", group_seconds=60) for n in range(230)))
        await bench.until(lambda: bench.count("held", 230))
        clock.advance(ms=60_000)
        await bench.until(lambda: bench.count("delivered", 1 + 230 + 3))
    digests = [one["data"]["digest"] for one in receiver.messages if one["type"] == "alert.digest"]
    assert {one["total"] for one in digests} == {230}
    assert sorted(one["part"] for one in digests) == [1, 2, 3]
    assert len(set(receiver.alerts)) == len(receiver.alerts) == 231


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
