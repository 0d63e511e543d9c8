"""The product as it runs: servers and services in a folder to throw away, each a process of its own."""

import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from common.bootstrap import ensure_first_key
from common.kafka.topics import ensure_topics
from common.settings import KafkaSettings
from harness.processes import Usage, usage
from localstack.services import services
from localstack.testing import Stack, running_servers

PARTITIONS = 4
_BESIDE = Path(__file__).parents[1] / "bare_routes.py"


class Product(NamedTuple):
    """Running servers and services, and a key to them."""

    stack: Stack
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    @property
    def names(self) -> list[str]:
        """Of all processes that were started."""
        return list(self.stack.supervisor.states())

    def usage(self, name: str) -> Usage:
        """What the process called `name` uses."""
        return usage(self.stack.supervisor.child(name).pid)

    def disk_bytes(self, server: str) -> int:
        """What a server's files take."""
        files = (self.stack.profile.data / server).rglob("*")
        return sum(file.stat().st_blocks * 512 for file in files if file.is_file())


@asynccontextmanager
async def running_product(names: Sequence[str], settings: Mapping[str, str] | None = None) -> AsyncIterator[Product]:
    """Servers with topics and a first key, and the services that are named."""
    with tempfile.TemporaryDirectory() as folder:
        async with running_servers(Path(folder)) as stack:
            kafka = KafkaSettings(kafka_bootstrap=stack.kafka_bootstrap)
            await ensure_topics(kafka, partitions=PARTITIONS)
            await ensure_first_key(kafka, stack.profile.key_file)
            started = [
                replace(one, environment={**one.environment, **(settings or {})})
                for one in services(stack.profile, names)
            ]
            await stack.supervisor.start(started)
            yield Product(stack, stack.profile.key_file.read_text().strip())


async def start_with_bare_routes(product: Product, name: str) -> None:
    """Start a service that has, besides its own, the routes of `bare_routes.py`: the ceilings, in the same process."""
    (service,) = services(product.stack.profile, [name])
    command = (sys.executable, str(_BESIDE), name)
    await product.stack.supervisor.start([replace(service, command=command)])
