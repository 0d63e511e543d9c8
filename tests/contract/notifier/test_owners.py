"""Several notifiers, at once and one after the other: nothing is sent twice but where one ended without a warning."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from common.alerts import Alert
from common.deliveries import Delivery, DeliveryState
from common.destinations import DestinationKind
from signals.notifier.delivery_store import DeliveryStore
from signals.notifier.digests import as_members, digests
from signals.notifier.mongo import document_of


async def test_two_notifiers_share_the_work_and_send_nothing_twice(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert]
) -> None:
    """While one comes and one goes; each destination has one owner, whoever stored the alert."""
    patient = {"send_timeout_ms": 20_000}  # no claim lapses because the machine is busy
    names = [f"d{n}" for n in range(6)]
    for name in names:
        await bench.destination(name, url=receiver.url)
    sent = 0

    async def raise_some() -> None:
        nonlocal sent
        sent += 20
        await bench.raise_(*(an_alert(destinations=names) for _ in range(20)))

    async def all_arrived() -> None:
        await bench.until(lambda: len({one["id"] for one in receiver.messages}) == sent * len(names), within_s=60)

    async with notifying(**patient):
        await raise_some()
        async with notifying(**patient):
            await raise_some()
            await all_arrived()
        await raise_some()
        await all_arrived()
        await bench.until(lambda: bench.count("delivered", sent * len(names)))
    ids = [one["id"] for one in receiver.messages]
    assert len(ids) == len(set(ids)) == 60 * len(names)


async def test_what_another_stored_is_sent_at_once(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert]
) -> None:
    """However seldom a lane looks by itself: where notifiers share the work, each watches for what is new."""
    names = [f"d{n}" for n in range(6)]
    for name in names:
        await bench.destination(name, url=receiver.url)

    rare = {"notifier_poll_ms": 60_000, "send_timeout_ms": 20_000}

    async def sharing() -> bool:  # each has something to send, for a lane looks when it begins
        await bench.raise_(an_alert(destinations=names))
        return len(receiver.messages) > len(names)

    async with notifying(**rare), notifying(**rare):
        await bench.until(sharing)
        stored = [an_alert(destinations=names) for _ in range(9)]
        await bench.raise_(*stored)
        wanted = {f"{alert.id}-{name}" for alert in stored for name in names}
        await bench.until(lambda: wanted <= {one["id"] for one in receiver.messages})


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
    untried = {"state": "new", "due_at": clock.now_ms(), "attempts": [], "tries": 0}  # a retry has a queue of its own
    lapses = clock.now_ms() + 3_000
    await bench.database["deliveries"].update_one(
        {"_id": f"{first.id}-ops"}, {"$set": {**untried, "claimed_by": "one that was killed", "claimed_until": lapses}}
    )
    async with notifying(clock, send_at_once=1):
        await bench.raise_(second)
        await bench.until(lambda: bench.count("new", 2))
        clock.advance(ms=3_000)
        await bench.until(lambda: bench.count("delivered", 2))
    assert receiver.alerts == ["b-1", "b-1", "b-2"]
    assert receiver.messages[0]["id"] == receiver.messages[1]["id"]
    assert {one.attempts[-1].at for one in await bench.deliveries()} == {lapses}


@pytest.mark.parametrize("written", [0, 2], ids=["none", "some"])
@pytest.mark.parametrize("arrived", [False, True], ids=["before it was sent", "after"])
async def test_a_digest_whose_maker_was_killed_takes_its_members_along(
    bench: Any,
    notifying: Any,
    receiver: Any,
    an_alert: Callable[..., Alert],
    clock: Any,
    *,
    arrived: bool,
    written: int,
) -> None:
    """It was stored, not all of its members were written down: they leave in it alone, and say what became of it."""
    await bench.destination("ops", url=receiver.url)
    grouped = {"group_seconds": 60}
    async with notifying(clock):
        await bench.raise_(an_alert("first", **grouped))
        await bench.until(lambda: bench.count("delivered", 1))
        await bench.raise_(*(an_alert(f"b-{n}", **grouped) for n in range(3)))
        await bench.until(lambda: bench.count("held", 3))
    clock.advance(ms=60_000)
    held = await bench.deliveries(state="held")
    (digest,) = digests(held, DestinationKind.WEBHOOK, clock.now_ms())
    done = {"state": DeliveryState.DELIVERED, "due_at": None, "delivered_at": clock.now_ms()} if arrived else {}
    digest = msgspec.structs.replace(digest, **done)
    await bench.database["deliveries"].insert_one(document_of(digest))
    for member in as_members(digest, held[:written], clock.now_ms()):
        await bench.database["deliveries"].replace_one({"_id": member.id}, document_of(member))
    async with notifying(clock):
        await bench.until(lambda: bench.count("delivered", 5))
    assert [one["id"] for one in receiver.messages[1:]] == ([] if arrived else [digest.id])
    members = await bench.deliveries(message=digest.id)
    assert [(one.state, one.due_at, one.delivered_at) for one in members] == [("delivered", None, clock.now_ms())] * 3


async def test_members_are_written_down_before_their_digest(
    bench: Any, notifying: Any, receiver: Any, an_alert: Callable[..., Alert], clock: Any
) -> None:
    """Whoever ends between the two leaves the digest open, so that it is settled once more and no member is left."""
    seen, save = list[str](), DeliveryStore.save

    async def saved(store: DeliveryStore, deliveries: Sequence[Delivery], me: str) -> int:
        if any(one.members and one.state is DeliveryState.DELIVERED for one in deliveries):
            seen.extend(await bench.states())
        return await save(store, deliveries, me)

    await bench.destination("ops", url=receiver.url)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(DeliveryStore, "save", saved)
        async with notifying(clock):
            await bench.raise_(*(an_alert(f"b-{n}", group_seconds=60) for n in range(4)))
            await bench.until(lambda: bench.count("held", 3))
            clock.advance(ms=60_000)
            await bench.until(lambda: bench.count("delivered", 5))
    assert sorted(seen) == ["delivered"] * 4 + ["pending"]
