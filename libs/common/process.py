"""How a process of ours starts, stops and fails."""

import asyncio
import gc
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NoReturn, Protocol, TypeVar

import structlog
import uvloop

from common.concurrency import all_of
from common.errors import CannotStart, Refused, TryLater
from common.exporting import exporting
from common.health import Health, StatusServer
from common.settings import Settings, load
from common.telemetry import configure_logging, redacted

log = structlog.get_logger()

EX_DATAERR: Final = 65  # sysexits.h: what it was given does not do, see the code that it names
EX_TEMPFAIL: Final = 75  # sysexits.h: try again, whoever supervises
EX_CONFIG: Final = 78  # sysexits.h: trying again will not help

S = TypeVar("S", bound=Settings)
T = TypeVar("T")

_PATIENCE_S: Final = 60.0
_FIRST_WAIT_S: Final = 0.25
_LONGEST_WAIT_S: Final = 5.0


def main(service: str, settings_type: type[S], run: Callable[[S, asyncio.Event], Awaitable[None]]) -> NoReturn:
    """Run `run(settings, stop)` to its end; `stop` is set on SIGTERM and SIGINT.

    Exits with 0 after a stop, 78 when the configuration must change, 75 when a store was away at the start, and 65 when
    a command that runs to its end refuses to do it.
    """
    configure_logging(service, "INFO")  # what the settings ask for comes once they are read
    try:
        settings = load(settings_type)
        configure_logging(service, settings.log_level)
        log.info("starting")
        with exporting(service, settings):
            gc.freeze()  # what was imported stays: the collector need not walk through it again and again
            uvloop.run(_until_stopped(settings, run))
    except CannotStart as error:
        log.error("cannot_start", code=error.code, detail=str(error))
        print(f"{service} cannot start:\n{redacted(str(error))}", file=sys.stderr)  # noqa: T201  # for whoever starts it
        sys.exit(EX_CONFIG)
    except Refused as error:
        print(f"{service} refuses ({error.code}):\n{error.detail}", file=sys.stderr)  # noqa: T201  # likewise
        sys.exit(EX_DATAERR)
    except TryLater as error:
        log.error("start_failed", detail=str(error))  # the chain says no more than the message
        sys.exit(EX_TEMPFAIL)
    log.info("stopped")
    sys.exit(0)


async def _until_stopped(settings: S, run: Callable[[S, asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run(settings, stop)


async def unless_refused(look: Callable[[], Awaitable[None]]) -> None:
    """Look at a server that a start does not wait for: one that is away may come, one that refuses us will not.

    Raises:
        CannotStart: it refuses us.
    """
    with suppress(TryLater):
        await look()


@asynccontextmanager
async def telling(host: str, port: int) -> AsyncGenerator[Health]:
    """The process's health, told on its metrics port for as long as the block lasts.

    Raises:
        CannotStart: the port cannot be listened on.
    """
    health = Health()
    status = StatusServer(host, port, health)
    status.start()
    beating = asyncio.create_task(health.beat(), name="heartbeat")
    try:
        yield health
    finally:
        beating.cancel()
        status.stop()


class Part(Protocol):
    """What works until it is told to stop."""

    def run(self, stop: asyncio.Event) -> Coroutine[Any, Any, None]: ...


async def run_all(parts: Sequence[Part], stop: asyncio.Event) -> None:
    """Run all parts until `stop` is set.

    When one ends, for whatever reason, all do, and the process with them: half of one looks alive and is not.
    """
    await all_of([_ending_all(part.run(stop), stop) for part in parts])


async def _ending_all(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> None:
    try:
        await work
    finally:
        stop.set()


async def until_available(
    attempt: Callable[[], Awaitable[T]], stop: asyncio.Event, patience_s: float = _PATIENCE_S
) -> T:
    """Make `attempt` until it succeeds, so that servers and services may be started in any order.

    Raises:
        TryLater: it still failed when `patience_s` were over, or when `stop` was set; the last failure.
    """
    loop = asyncio.get_running_loop()
    deadline, wait_s = loop.time() + patience_s, _FIRST_WAIT_S
    while True:
        try:
            return await attempt()
        except TryLater as error:
            if stop.is_set() or loop.time() + wait_s > deadline:
                raise
            log.warning("waiting", detail=str(error), wait_s=wait_s)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), wait_s)
        wait_s = min(_LONGEST_WAIT_S, wait_s * 2)
