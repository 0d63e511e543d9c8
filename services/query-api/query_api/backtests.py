"""Backtests of rules: one at a time, each in a process that goes its own way and is ended when it takes too long."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from typing import Final

import msgspec
import structlog
from msgspec.structs import replace
from pydantic import SecretStr

from common.clock import Clock
from common.destinations import Destination, Silence
from common.errors import Refused, TryLater
from common.kafka.control import ControlTable
from common.process import EX_TEMPFAIL
from common.settings import KafkaSettings
from matching.rules import Rule
from query_api.backtest_views import Backtest, BacktestRequest
from query_api.backtesting import Job

log = structlog.get_logger()

_HOUR_MS: Final = 60 * 60 * 1000
_MAX_WAITING: Final = 4
_GRACE_S: Final = 30.0  # for its start, and for a Kafka that is slow to answer


class Backtests:
    """Starts the processes, one after the other."""

    def __init__(self, settings: KafkaSettings, control: ControlTable, clock: Clock) -> None:
        # With the password: through a pipe, which nobody else reads, for a process that has to log in as we do.
        self._kafka = {name: _plain(getattr(settings, name)) for name in KafkaSettings.model_fields}
        self._control = control
        self._clock = clock
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def run(self, rule: Rule, version: int | None, wanted: BacktestRequest) -> Backtest:
        """What `rule` would have done.

        Raises:
            Refused: overloaded; several wait for their turn already.
            TryLater: Kafka is away, or too slow.
        """
        if self._waiting >= _MAX_WAITING:
            raise Refused("overloaded", f"{self._waiting} backtests wait for their turn already.")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._carried_out(self._job(rule, version, wanted))
        finally:
            self._waiting -= 1

    def _job(self, rule: Rule, version: int | None, wanted: BacktestRequest) -> Job:
        now_ms = self._clock.now_ms()
        # Sealed secrets stay here: what a process is told may be seen by others of this machine.
        destinations = [
            replace(entry.value, secret="", former_secret=None)
            for entry in self._control.of(Destination)
            if entry.value.name in rule.destinations
        ]
        return Job(
            kafka=self._kafka,
            rule=replace(rule, enabled=True),
            version=version,
            since_ms=now_ms - round(wanted.hours * _HOUR_MS),
            until_ms=now_ms,
            max_records=wanted.max_records,
            timeout_seconds=wanted.timeout_seconds,
            destinations=destinations,
            silences=[entry.value for entry in self._control.of(Silence)],
        )

    async def _carried_out(self, job: Job) -> Backtest:
        command = (sys.executable, "-m", "query_api.backtesting")
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        try:
            async with asyncio.timeout(job.timeout_seconds + _GRACE_S):
                answer, said = await process.communicate(msgspec.json.encode(job))
        except TimeoutError:
            raise TryLater("the backtest did not answer in time") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode == EX_TEMPFAIL:
            raise TryLater(said.decode(errors="replace"))
        if process.returncode:
            log.error("backtest_failed", code=process.returncode, said=said[-2000:].decode(errors="replace"))
            raise RuntimeError(f"the backtest ended with {process.returncode}")
        return msgspec.json.decode(answer, type=Backtest)


def _plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
