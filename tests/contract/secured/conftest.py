"""Servers that let nobody in without TLS and a password, and clients that they do let in, or do not."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple

import pytest
import pytest_asyncio

from aggregates.settings import AggregatesSettings
from common.kafka.topics import ensure_topics
from common.settings import PREFIX
from localstack.authority import Authority
from localstack.secured import DATABASE, SecuredProfile
from localstack.testing import running_secured_servers


class Ended(NamedTuple):
    """What became of a process: how it ended, and all that it said."""

    status: int
    said: str


class Secured:
    """The servers, and settings of whoever wants to speak to them."""

    def __init__(self, profile: SecuredProfile) -> None:
        self.profile = profile

    def settings(self, **changed: object) -> AggregatesSettings:
        """Those that are right, but for what is changed; they have every server in them."""
        stores = {name.removeprefix(PREFIX).lower(): value for name, value in self.profile.stores().items()}
        return AggregatesSettings(**{**stores, "mongo_database": DATABASE, **changed})

    async def process(self, module: str, changed: Mapping[str, str], within_s: float = 240) -> Ended:
        """A process of ours that cannot start."""
        environment = {**os.environ, **self.profile.environment(), **changed}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(within_s):
                said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return Ended(process.returncode, said.decode())


@pytest_asyncio.fixture(scope="session")
async def secured(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Secured]:
    """Kafka with SASL over TLS, three Valkeys as a cluster behind TLS, SecantusDB with TLS and one user.

    Each asks for a certificate besides; `tests/e2e/test_secured.py` has servers that do not.
    """
    async with running_secured_servers(tmp_path_factory.mktemp("secured"), wants_certificates=True) as (_, profile):
        await ensure_topics(profile.kafka_settings(), partitions=2)
        yield Secured(profile)


@pytest.fixture(scope="session")
def of_nobody(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that vouches for no server, and by which no server lets anybody in."""
    return Authority(tmp_path_factory.mktemp("nobody"))
