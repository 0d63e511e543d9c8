"""What keeps messages back: by a clock that the test holds."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from common.alerts import Alert, Severity
from common.destinations import MuteHours

HOUR_MS = 3_600_000


def states(found: list[Any]) -> list[str]:
    return [one.state.value for one in found]


def wall(clock: Any, after_ms: int) -> str:
    """What a clock on the wall will show."""
    return datetime.fromtimestamp((clock.now_ms() + after_ms) / 1000, UTC).strftime("%H:%M")


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


async def test_a_large_digest_is_cut_into_parts_that_lose_nothing(  # noqa: PLR0917
    bench: Any,
    notifying: Any,
    receiver: Any,
    an_alert: Callable[..., Alert],
    clock: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred alerts a message; each says how many there are in all, also where that is more than a hand takes."""
    monkeypatch.setattr("signals.notifier.hand.MOST_IN_HAND", 100)
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


async def test_silences_keep_and_mute_hours_put_off(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert], clock: Any
) -> None:
    """The one is final, the other ends in a digest; what is let through leaves at once."""
    mute = MuteHours(start=wall(clock, -HOUR_MS), end=wall(clock, 2 * HOUR_MS), let_through=(Severity.CRITICAL,))
    await bench.destination("ops", url=receiver.url, mute=(mute,))
    await bench.silence(rule="quiet")
    async with notifying(clock):
        await bench.raise_(an_alert("b-1", rule="quiet"), an_alert("b-2"))
        await bench.until(lambda: bench.count("silenced", 1))
        await bench.until(lambda: bench.count("held", 1))
        await bench.raise_(an_alert("b-3", severity=Severity.CRITICAL))
        await bench.until(lambda: receiver.messages)
        assert receiver.alerts == ["b-3"]
        clock.advance(ms=2 * HOUR_MS)
        await bench.until(lambda: bench.count("delivered", 3))  # the digest has a delivery of its own
    assert receiver.alerts == ["b-3", "b-2"]


async def test_a_limit_holds_back_what_is_beyond_it(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert], clock: Any
) -> None:
    """Also over a restart; an hour later the rest leaves in one digest."""
    await bench.destination("ops", url=receiver.url, limit_per_hour=2)
    async with notifying(clock):
        await bench.raise_(*(an_alert(f"b-{n}") for n in range(2)))
        await bench.until(lambda: bench.count("delivered", 2))
    clock.advance(ms=1_000)
    async with notifying(clock):
        await bench.raise_(*(an_alert(f"c-{n}") for n in range(3)))
        await bench.until(lambda: bench.count("held", 3))
        clock.advance(ms=HOUR_MS)
        await bench.until(lambda: len(receiver.messages) == 3)
    assert receiver.messages[-1]["data"]["digest"]["total"] == 3
