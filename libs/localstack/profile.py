"""Where the local default keeps its data and which ports it listens on."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from common.errors import CannotStart

ROOT: Final = Path(__file__).parents[2]
HOME_VARIABLE: Final = "TWINSTREAM_HOME"
HOST: Final = "127.0.0.1"

# Each is set by TWINSTREAM_<NAME>_PORT.
DEFAULT_PORTS: Final[Mapping[str, int]] = {
    "kafka": 9092,
    "kafka_controller": 9093,
    "redis": 6379,
    "mongo": 27017,
    "query_api": 8000,
    "ingest": 8001,
    "query_api_metrics": 9100,
    "ingest_metrics": 9101,
    "documents_metrics": 9102,
    "aggregates_metrics": 9103,
    "scan_metrics": 9104,
    "notifier_metrics": 9105,
    "lake_writer_metrics": 9110,
    "lake_maintenance_metrics": 9111,
    "lake_jobs_metrics": 9112,
}

# The servers of one machine ask nobody who they are; a terminal may have been used for others, which do.
_OPEN: Final[Mapping[str, str]] = {
    "TWINSTREAM_SECRETS_DIR": "",
    "TWINSTREAM_KAFKA_TLS": "false",
    "TWINSTREAM_KAFKA_CA_FILE": "",
    "TWINSTREAM_KAFKA_SASL_MECHANISM": "none",
    "TWINSTREAM_KAFKA_USERNAME": "",
    "TWINSTREAM_KAFKA_PASSWORD": "",
    "TWINSTREAM_MONGO_CA_FILE": "",
    "TWINSTREAM_REDIS_CLUSTER": "false",
    "TWINSTREAM_REDIS_CA_FILE": "",
}


def port_variable(name: str) -> str:
    """The setting that changes the port called `name`."""
    return f"TWINSTREAM_{name.upper()}_PORT"


@dataclass(frozen=True)
class Profile:
    """One set-up of servers and services on this machine."""

    home: Path
    ports: Mapping[str, int] = field(default_factory=lambda: DEFAULT_PORTS)
    retention: bool = True
    """Whether Kafka takes away what is past its time; tests write what happened long ago."""

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def key_file(self) -> Path:
        """The first API key's file."""
        return self.home / "key"

    @property
    def kafka_bootstrap(self) -> str:
        return f"{HOST}:{self.ports['kafka']}"

    @property
    def mongo_uri(self) -> str:
        return f"mongodb://{HOST}:{self.ports['mongo']}/"

    @property
    def redis_url(self) -> str:
        return f"redis://{HOST}:{self.ports['redis']}/0"

    def url(self, service: str) -> str:
        """The base URL of an HTTP service."""
        return f"http://{HOST}:{self.ports[service]}"

    def metrics_url(self, service: str) -> str:
        """The base URL of a process's metrics and health."""
        return f"http://{HOST}:{self.ports[service + '_metrics']}"

    def environment(self) -> dict[str, str]:
        """What every service reads to find the servers and its own ports; includes the secret, made when absent."""
        return {
            **_OPEN,
            "TWINSTREAM_KAFKA_BOOTSTRAP": self.kafka_bootstrap,
            "TWINSTREAM_MONGO_URI": self.mongo_uri,
            # SecantusDB writes one after the other, and slower the more of them come at a time.
            "TWINSTREAM_MONGO_WRITES_AT_ONCE": "1",
            "TWINSTREAM_REDIS_URL": self.redis_url,
            "TWINSTREAM_SECRET": self._secret(),
            "TWINSTREAM_WEBHOOK_ALLOW_LOOPBACK": "true",
            **self._lake(),
            **{port_variable(name): str(port) for name, port in self.ports.items()},
        }

    def _lake(self) -> dict[str, str]:
        """A lake beside the servers' data, seconds behind the log: whoever tries it waits for no five minutes."""
        return {
            "TWINSTREAM_LAKE_CATALOG_URI": f"sqlite:///{self.data}/lake/catalog.db",
            "TWINSTREAM_LAKE_WAREHOUSE": str(self.data / "lake" / "warehouse"),
            "TWINSTREAM_LAKE_RESULTS": str(self.data / "lake" / "results"),
            "TWINSTREAM_LAKE_COMMIT_SECONDS": os.environ.get("TWINSTREAM_LAKE_COMMIT_SECONDS", "5"),
            "TWINSTREAM_LAKE_SNAPSHOT_HOURS": os.environ.get("TWINSTREAM_LAKE_SNAPSHOT_HOURS", "2"),
        }

    def _secret(self) -> str:
        path = self.home / "secret"
        if not path.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            fresh = self.home / f".secret.{os.getpid()}"  # an interruption leaves no half of one behind
            fresh.touch(mode=0o600)
            fresh.write_text(secrets.token_hex(32) + "\n", encoding="ascii")
            fresh.rename(path)
        return path.read_text(encoding="ascii").strip()


def profile_from_environment() -> Profile:
    """The profile of `twinstream up`: `.twinstream` beside the project, default ports, unless the environment differs.

    Raises:
        CannotStart: a port is no port; names the variable.
    """
    home = Path(os.environ.get(HOME_VARIABLE) or ROOT / ".twinstream").expanduser().absolute()
    return Profile(home, {name: _port(name, default) for name, default in DEFAULT_PORTS.items()})


def _port(name: str, default: int) -> int:
    given = os.environ.get(port_variable(name)) or str(default)
    if not (given.isascii() and given.isdecimal()) or not 1 <= int(given) <= 65535:
        raise CannotStart(f"{port_variable(name)}: {given!r} is no port: give a number from 1 to 65535")
    return int(given)
