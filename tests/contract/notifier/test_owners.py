"""Several notifiers, one after the other: what one held that ended without a warning is sent by the next."""

from collections.abc import Callable
from typing import Any

from common.alerts import Alert


async def test_what_another_held_is_sent_once_its_claim_has_lapsed(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert], clock: Any
) -> None:
    """As after kill -9: before, it may still be on its way; others of the lane keep their place behind it."""
    await bench.destination("ops", url=receiver.url)
    first, second = an_alert("b-1"), an_alert("b-2")
    async with notifying(clock):
        await bench.raise_(first)
        await bench.until(lambda: bench.count("delivered", 1))
    clock.advance(ms=1)  # the second one comes later
    claimed = {"state": "new", "due_at": clock.now_ms(), "claimed_by": "one that was killed", "attempts": []}
    lapses = clock.now_ms() + 3_000
    await bench.database["deliveries"].update_one(
        {"_id": f"{first.id}-ops"}, {"$set": {**claimed, "claimed_until": lapses}}
    )
    async with notifying(clock, send_at_once=1):
        await bench.raise_(second)
        await bench.until(lambda: bench.count("new", 2))
        clock.advance(ms=3_000)
        await bench.until(lambda: bench.count("delivered", 2))
    assert receiver.alerts == ["b-1", "b-1", "b-2"]
    assert receiver.messages[0]["id"] == receiver.messages[1]["id"]
    assert {one.attempts[-1].at for one in await bench.deliveries()} == {lapses}
