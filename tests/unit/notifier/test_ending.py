"""Work is ended, whatever becomes of its cancellation."""

import asyncio

import pytest

from signals.notifier.patience import until_ended


async def test_a_cancellation_that_was_swallowed_is_repeated() -> None:
    """As `wait_for` of Python 3.11 does where the cancellation comes together with its result."""
    cancelled = 0

    async def deaf() -> None:
        nonlocal cancelled
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled += 1
                if cancelled == 2:
                    raise

    work = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await until_ended(work)
    assert (work.done(), cancelled) == (True, 2)


async def test_what_work_failed_at_is_raised() -> None:
    """A fault of ours is no end like another."""

    async def failing() -> None:
        raise LookupError

    work = asyncio.create_task(failing())
    await asyncio.wait([work])
    with pytest.raises(LookupError):
        await until_ended(work)
