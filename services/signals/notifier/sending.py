"""Messages on their way to one destination: first attempts in their order, retries beside them."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from common.clock import Clock
from common.deliveries import Delivery, DeliveryKind, DeliveryState
from signals.notifier.breaker import Breaker
from signals.notifier.outcomes import Outcome, Verdict, with_attempt
from signals.notifier.pace import Pace


class Hands(NamedTuple):
    """What sending is done with; each call is awaited for as long as it takes."""

    hold: Callable[[Delivery], Awaitable[bool]]  # whether it is still ours to send
    attempt: Callable[[Delivery], Awaitable[Outcome]]
    settle: Callable[[Delivery, Outcome], Awaitable[None]]
    progress: Callable[[Delivery, Outcome], Awaitable[None]]  # it goes on, still ours
    drop: Callable[[Delivery], None]  # someone else has it
    wake: Callable[[], None]


class _Queue:
    """Messages of one sort, so many of them on their way at once."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.waiting: deque[Delivery] = deque()
        self.on_way = 0

    @property
    def ready(self) -> bool:
        return bool(self.waiting) and self.on_way < self.at_once


class Sending:
    """Starts what may be started; a retry takes no place that a first attempt could have."""

    def __init__(self, hands: Hands, clock: Clock, pace: Pace, at_once: int) -> None:
        self._hands = hands
        self._clock = clock
        self._pace = pace
        self._tests = _Queue(at_once=1)
        self._first = _Queue(at_once)
        self._again = _Queue(max(1, at_once // 2))
        self._retried_last = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None

    def add(self, delivery: Delivery) -> None:
        """Take a message that may leave."""
        if delivery.kind is DeliveryKind.TEST:
            self._tests.waiting.append(delivery)
        elif delivery.state is DeliveryState.PENDING and delivery.kind is not DeliveryKind.DIGEST:
            self._again.waiting.append(delivery)
        else:
            (self._again if delivery.tries else self._first).waiting.append(delivery)

    def start(self, breaker: Breaker) -> None:
        """Let leave what may leave now."""
        while (queue := self._next(breaker)) is not None:
            delivery = queue.waiting.popleft()
            queue.on_way += 1
            self._pace.started(self._clock.now_ms())
            task = asyncio.create_task(self._deliver(queue, delivery), name=f"delivery {delivery.id}")
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def forget(self) -> list[Delivery]:
        """Give up all that waits; what is on its way is not stopped."""
        forgotten = [*self._first.waiting, *self._again.waiting]
        self._first.waiting.clear()
        self._again.waiting.clear()
        return forgotten

    async def finish(self, within_s: float) -> None:
        """Wait for what is on its way; what takes longer is left to whoever comes next, as after a kill."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=within_s)
            for task in late:
                task.cancel()

    def check(self) -> None:
        """Raise what a message failed at, if it was a fault of ours."""
        if self._fault is not None:
            raise self._fault

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            self._fault = self._fault or task.exception()

    def _next(self, breaker: Breaker) -> _Queue | None:
        now_ms = self._clock.now_ms()
        if not self._pace.allows(now_ms):
            return None
        if self._tests.ready:  # what the breaker holds up is what people want to try
            return self._tests
        if not breaker.allows(now_ms, self._first.on_way + self._again.on_way):
            return None
        queues = (self._first, self._again) if self._retried_last else (self._again, self._first)
        queue = next((one for one in queues if one.ready), None)
        self._retried_last = queue is self._again
        return queue

    async def _deliver(self, queue: _Queue, delivery: Delivery) -> None:
        try:
            if not await self._hands.hold(delivery):
                self._hands.drop(delivery)
                return
            outcome = await self._hands.attempt(delivery)
            if outcome.verdict in {Verdict.PAUSED, Verdict.CONTINUED}:
                self._pace.pause(self._clock.now_ms(), outcome.asked_ms)
                delivery = with_attempt(delivery, outcome)
                await self._hands.progress(delivery, outcome)
                queue.waiting.appendleft(delivery)
                return
            await self._hands.settle(delivery, outcome)
        finally:
            queue.on_way -= 1
            self._hands.wake()
