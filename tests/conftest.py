"""The real servers, once for a whole run of the tests, and a corner of them for each test that asks."""

import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import hypothesis
import pytest
import pytest_asyncio
from xdist.scheduler import LoadFileScheduling

from common.bootstrap import ensure_first_key
from common.kafka.producer import Producer
from common.kafka.topics import ensure_topics
from common.settings import KafkaSettings, MongoSettings, RedisSettings
from localstack.claims import Claims
from localstack.free_ports import on_free_ports
from localstack.issuer import Issuer, answering_issuer
from localstack.profile import Profile
from localstack.services import SERVICES, services
from localstack.testing import Stack, running_servers

# They ask for `running`, which is dear to start.
SHARING = {f"tests/e2e/test_{name}.py" for name in ("cli", "counts", "lake", "notifying", "signals", "whole_way")}


class ByFile(LoadFileScheduling):
    """Of several processes that test at a time, each takes file after file; one takes all that share the product."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "product" if file in SHARING else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    return ByFile(config, log)


# A machine that is busy with other things is slow at any moment, and no test has a fault for that.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz-seconds", type=float, default=60.0, help="how long the long tests that fuzz go on")
    parser.addoption("--keep-formats", action="store_true", help="keep what the stores of a new version come to")


@pytest_asyncio.fixture(scope="session")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Kafka, Valkey and SecantusDB on free ports in a throw-away folder."""
    async with running_servers(tmp_path_factory.mktemp("servers")) as stack:
        yield stack


@pytest_asyncio.fixture
async def fresh_kafka(servers: Stack) -> KafkaSettings:
    """Topics of the test's own."""
    settings = KafkaSettings(kafka_bootstrap=servers.kafka_bootstrap, topic_prefix=f"test-{secrets.token_hex(4)}.")
    await ensure_topics(settings, partitions=3)
    return settings


@pytest_asyncio.fixture
async def producer(fresh_kafka: KafkaSettings) -> AsyncIterator[Producer]:
    producer = Producer(fresh_kafka)
    await producer.start()
    yield producer
    await producer.stop()


@pytest.fixture
def fresh_mongo(servers: Stack) -> MongoSettings:
    """A database of the test's own."""
    return MongoSettings(mongo_uri=servers.mongo_uri, mongo_database=f"test-{secrets.token_hex(4)}")


@pytest.fixture
def fresh_redis(servers: Stack) -> RedisSettings:
    """Keys of the test's own."""
    return RedisSettings(redis_url=servers.redis_url, redis_prefix=f"test-{secrets.token_hex(4)}:")


@pytest.fixture(scope="session")
def issuer() -> Iterator[Issuer]:
    """An OIDC issuer that answers on this machine."""
    with answering_issuer() as issuer:
        yield issuer


@dataclass(frozen=True)
class Running:
    """The whole product: servers and services, with a key that may do everything."""

    stack: Stack
    ingest_url: str
    query_url: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self.key}"}


@pytest_asyncio.fixture(scope="session")
async def running(servers: Stack) -> Running:
    """Every service as `twinstream up` starts it, each a process of its own."""
    profile = servers.profile
    settings = KafkaSettings(kafka_bootstrap=servers.kafka_bootstrap)
    await ensure_topics(settings, partitions=4)
    await ensure_first_key(settings, profile.key_file)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TWINSTREAM_LAKE_COMMIT_SECONDS", "1")
        await servers.start_services(list(SERVICES))
    key = profile.key_file.read_text(encoding="ascii").strip()
    return Running(servers, profile.url("ingest"), profile.url("query_api"), key)


@pytest_asyncio.fixture(scope="session")
async def apart(servers: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """The product once more on the same servers, under names of its own: for tests that leave nothing as it was."""
    name = f"apart-{secrets.token_hex(4)}"
    profile = on_free_ports(Profile(tmp_path_factory.mktemp("apart")))
    shared = {port: servers.profile.ports[port] for port in ("kafka", "redis", "mongo")}
    stack = Stack(replace(profile, ports={**profile.ports, **shared}))
    settings = KafkaSettings(kafka_bootstrap=servers.kafka_bootstrap, topic_prefix=f"{name}.")
    await ensure_topics(settings, partitions=2)
    await ensure_first_key(settings, profile.key_file)
    key = profile.key_file.read_text(encoding="ascii").strip()
    corner = {
        "TWINSTREAM_TOPIC_PREFIX": settings.topic_prefix,
        "TWINSTREAM_MONGO_DATABASE": name,
        "TWINSTREAM_REDIS_PREFIX": f"{name}:",
    }
    processes = services(stack.profile, [service for service in SERVICES if not service.startswith("lake")])
    with Claims(profile.run).held():
        try:
            await stack.supervisor.start([replace(p, environment={**p.environment, **corner}) for p in processes])
            yield Running(stack, profile.url("ingest"), profile.url("query_api"), key)
        finally:
            await stack.end()
