"""The run of `twinstream up`: from nothing to everything ready, and back to nothing."""

import asyncio
import signal
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.text import Text

from common.settings import KafkaSettings, load
from localstack.claims import Claim, Claims, stop_orphans
from localstack.jars import Fetched, fetch, locked
from localstack.ports import check_ports
from localstack.processes import Process
from localstack.profile import Profile
from localstack.servers import servers
from localstack.services import SERVICES, services
from localstack.supervisor import Supervisor
from twinstream.flow.line import line
from twinstream.flow.reading import flows
from twinstream.running.changes import Changes
from twinstream.running.preparations import PREPARATIONS
from twinstream.running.screen import Screen, ticking
from twinstream.running.welcome import welcome

_STOPPED_BY: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MB: Final = 1_000_000


async def session(profile: Profile, screen: Screen) -> None:
    """Start everything and keep it running until a signal comes, then stop everything; a second signal kills it.

    Kafka's settings are read from the environment, as the services read theirs.

    Raises:
        CannotStart: something did not start, or another `up` runs; nothing is left running.
    """
    claims = Claims(profile.run)
    with claims.held():
        changes = Changes(screen)
        supervisor = Supervisor(claims, changes)
        work = asyncio.create_task(_work(profile, screen, claims, supervisor, changes), name="work")
        with _heeding_signals(work, supervisor, screen):
            await asyncio.wait({work})
            if supervisor.states() and not work.cancelled() and (error := work.exception()) is not None:
                reason, _, _ = str(error).partition("\n")
                screen.say(Text(f"{reason}; stopping everything", style="red"))
            async with ticking(screen, lambda: "stopping"):
                await supervisor.stop()
    if not work.cancelled():
        work.result()


@contextmanager
def _heeding_signals(work: asyncio.Task[None], supervisor: Supervisor, screen: Screen) -> Generator[None]:
    """The first one ends the work, and so stops everything in good order; a Ctrl-C after it kills.

    A terminal that closes may send its signal more than once, which is nobody's impatience. One that comes when all is
    stopped is too late, and does not make a death of it.
    """
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        if not work.done() and not work.cancelling():
            screen.say(Text("Stopping; Ctrl-C again kills.", style="yellow"))
            work.cancel()
        elif number == signal.SIGINT:
            screen.say(Text("Killing what still runs.", style="red"))
            supervisor.force()

    for number in _STOPPED_BY:
        loop.add_signal_handler(number, stop, number)
    yield
    for number in _STOPPED_BY:
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


async def _work(profile: Profile, screen: Screen, claims: Claims, supervisor: Supervisor, changes: Changes) -> None:
    settings = load(KafkaSettings)
    await _stop_orphans(claims, screen)
    check_ports(_ports([*servers(profile, ()), *services(profile)]))
    jars = await _fetch_jars(screen)
    async with ticking(screen, lambda: f"starting {changes.starting()}"):
        await supervisor.start(servers(profile, jars))
        for prepare in PREPARATIONS:
            made = await prepare(profile, settings)
            if made:
                screen.say(Text(made))
        await supervisor.start(services(profile))
    screen.say(Text("\nEverything is ready. Ctrl-C stops it; the data stays.\n", style="bold green"))
    screen.say(welcome(profile))
    async for flow in flows([f"{profile.metrics_url(name)}/metrics" for name in SERVICES]):
        screen.show(line(flow))


def _ports(processes: Sequence[Process]) -> dict[str, int]:
    return {name: port for process in processes for name, port in process.ports.items()}


async def _stop_orphans(claims: Claims, screen: Screen) -> None:
    loop = asyncio.get_running_loop()

    def found(claim: Claim) -> None:
        words = f"Stopping {claim.name} (pid {claim.pid}), which a run that was killed left behind"
        loop.call_soon_threadsafe(screen.say, Text(words, style="yellow"))

    await asyncio.to_thread(stop_orphans, claims, found)


async def _fetch_jars(screen: Screen) -> list[Path]:
    """Kafka's jars, with a word on how far they are: at a first start that takes a while."""
    so_far: list[Fetched] = []
    stop = threading.Event()

    def words() -> str:
        if not so_far:
            return "looking at Kafka's jars"
        now = so_far[-1]
        return f"fetching Kafka: {now.jars} of {now.of_jars} jars, {now.size / _MB:.0f} of {now.of_size / _MB:.0f} MB"

    try:
        async with ticking(screen, words):
            files = await asyncio.to_thread(fetch, locked(), so_far.append, stop=stop)
    finally:
        stop.set()
    if so_far:
        screen.say(Text(f"Fetched Kafka: {so_far[-1].of_jars} jars, {so_far[-1].of_size / _MB:.0f} MB, all verified."))
    return files
