"""The real servers for tests: on free ports, in a folder to throw away, and at a test's mercy."""

import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from localstack.child import Backoff
from localstack.claims import Claims
from localstack.jars import fetch, locked
from localstack.processes import Process
from localstack.profile import Profile, on_free_ports
from localstack.secured import SecuredProfile, secured_servers
from localstack.servers import servers
from localstack.services import services
from localstack.supervisor import Supervisor

_SOON = Backoff(first_s=0.1, longest_s=1.0)


class Stack:
    """Running servers, and services where a test asks for them."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.supervisor = Supervisor(Claims(profile.run), backoff=_SOON)
        self.kafka_bootstrap = profile.kafka_bootstrap
        self.mongo_uri = profile.mongo_uri
        self.redis_url = profile.redis_url

    def kill(self, name: str) -> None:
        """End a process without a warning; the supervisor starts it again."""
        self.supervisor.child(name).signal(signal.SIGKILL)

    async def crash(self, name: str) -> None:
        """End a process without a warning; it stays away until `start`."""
        await self.supervisor.child(name).kill()

    async def stop(self, name: str) -> None:
        """End a process in good order; it stays away until `start`."""
        await self.supervisor.child(name).stop()

    async def start(self, name: str) -> None:
        """Start a process again that `crash` or `stop` ended, and wait until it is ready."""
        await self.supervisor.child(name).start()

    def suspend(self, name: str) -> None:
        """Let a process hang, its connections open, until `resume`."""
        self.supervisor.child(name).signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        self.supervisor.child(name).signal(signal.SIGCONT)

    async def restarted(self, name: str) -> None:
        """Wait, after a `kill`, until the process is back and answers."""
        await self.supervisor.child(name).until_ready()

    async def start_services(self, names: Sequence[str]) -> None:
        """Start services of ours beside the servers."""
        await self.supervisor.start(services(self.profile, names))


@asynccontextmanager
async def running_servers(folder: Path) -> AsyncIterator[Stack]:
    """Kafka, Valkey and SecantusDB, ready; stopped on the way out."""
    profile = on_free_ports(Profile(folder))
    async with _running(profile, servers(profile, fetch(locked()))) as stack:
        yield stack


@asynccontextmanager
async def running_secured_servers(folder: Path) -> AsyncIterator[tuple[Stack, SecuredProfile]]:
    """The same behind TLS and passwords, Valkey as a cluster of three."""
    profile = on_free_ports(SecuredProfile(folder))
    async with _running(profile, secured_servers(profile, fetch(locked()))) as stack:
        yield stack, profile


@asynccontextmanager
async def _running(profile: Profile, processes: Sequence[Process]) -> AsyncIterator[Stack]:
    stack = Stack(profile)
    with Claims(profile.run).held():
        try:
            await stack.supervisor.start(processes)
            yield stack
        finally:
            await stack.supervisor.stop()
