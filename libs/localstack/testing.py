"""The real servers for tests: on free ports, in a folder to throw away, and at a test's mercy."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx

from localstack.child import Backoff
from localstack.claims import Claims
from localstack.free_ports import on_free_ports
from localstack.jars import fetch, locked
from localstack.processes import Process
from localstack.profile import Profile
from localstack.secured import SecuredProfile, secured_servers
from localstack.servers import servers
from localstack.services import services
from localstack.supervisor import Supervisor

_SOON: Final = Backoff(first_s=0.1, longest_s=1.0)
_IN_FORCE_WITHIN_S: Final = 60.0
_ACKNOWLEDGED_WITHIN_S: Final = 180.0


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

    async def rules_in_force(self, version: int) -> None:
        """Wait until records are scanned by every rule up to `version`: its writer was answered moments before."""
        async with asyncio.timeout(_IN_FORCE_WITHIN_S), httpx.AsyncClient(timeout=30, trust_env=False) as http:
            while await self._told(http, "scan", "twinstream_rules_as_of_offset") <= version:  # noqa: ASYNC110
                await asyncio.sleep(0.05)  # it is another process's

    async def end(self) -> None:
        """Kill all that still runs: its folder is thrown away, and to end in good order takes seconds."""
        self.supervisor.force()
        await self.supervisor.stop()

    async def start_services(self, names: Sequence[str]) -> None:
        """Start services of ours beside the servers."""
        await self.supervisor.start(services(self.profile, names))

    async def _told(self, http: httpx.AsyncClient, service: str, name: str) -> float:
        """A gauge of a service; -1 before it has said anything."""
        page = (await http.get(f"{self.profile.metrics_url(service)}/metrics")).text
        told = [line.rpartition(" ")[2] for line in page.splitlines() if line.startswith(f"{name} ")]
        return float(told[0]) if told else -1.0


async def send_until_acknowledged(http: httpx.AsyncClient, url: str, lines: bytes) -> None:
    """As a careful client does: the same again until there is a 202."""
    async with asyncio.timeout(_ACKNOWLEDGED_WITHIN_S):
        while True:
            try:
                answer = await http.post(url, content=lines, headers={"Content-Type": "application/x-ndjson"})
            except httpx.TransportError:
                await asyncio.sleep(0.1)
                continue
            if answer.status_code == httpx.codes.ACCEPTED:
                return
            if answer.status_code not in {httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE}:
                raise AssertionError(answer.text)
            await asyncio.sleep(0.1)


@asynccontextmanager
async def running_servers(folder: Path) -> AsyncIterator[Stack]:
    """Kafka, Valkey and SecantusDB, ready; killed on the way out."""
    profile = on_free_ports(Profile(folder, retention=False))
    async with _running(profile, servers(profile, fetch(locked()))) as stack:
        yield stack


@asynccontextmanager
async def running_secured_servers(
    folder: Path, *, wants_certificates: bool = False
) -> AsyncIterator[tuple[Stack, SecuredProfile]]:
    """The same behind TLS and passwords, and certificates where they are wanted; Valkey as a cluster of three."""
    profile = on_free_ports(SecuredProfile(folder, retention=False, wants_certificates=wants_certificates))
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
            await stack.end()
