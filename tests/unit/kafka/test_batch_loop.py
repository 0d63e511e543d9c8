"""Claims on a loop whose log fails at once; with a real log, see tests/contract/kafka."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import CorruptRecordException

from common.kafka.batch_loop import BatchLoop
from common.settings import KafkaSettings


class Consumer:
    """A driver that fails as long as it is told to, without taking its time."""

    def __init__(self) -> None:
        self.broken, self.asked = True, 0

    async def getmany(self, **_options: Any) -> dict[Any, Any]:
        self.asked += 1
        if self.broken:
            raise CorruptRecordException
        return {}


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


@pytest.fixture
def loop(consumer: Consumer) -> BatchLoop:
    loop = BatchLoop(KafkaSettings(), group="g", topics=["t"], handler=None)  # type: ignore[arg-type]  # none is called
    loop._consumer = consumer
    return loop


async def test_a_log_that_fails_at_once_is_not_asked_without_end(loop: BatchLoop, consumer: Consumer) -> None:
    """Each failure is waited out, a little longer each time; one that read begins anew."""
    started = asyncio.get_running_loop().time()
    for _ in range(4):
        assert await loop._fetch(asyncio.Event()) == {}
    assert asyncio.get_running_loop().time() - started >= 0.1 + 0.2 + 0.4
    assert loop.problem() is not None
    consumer.broken = False
    await loop._fetch(asyncio.Event())
    assert (consumer.asked, loop._log_away.backoff_s) == (5, 0)


async def test_a_stop_is_not_waited_for(loop: BatchLoop) -> None:
    """However long it would have been."""
    for _ in range(10):
        loop._log_away.back_off()
    stop = asyncio.Event()
    stop.set()
    async with asyncio.timeout(5):
        assert await loop._fetch(stop) == {}
