"""Writes docker-compose.elsewhere.yml out of docker-compose.yml: our processes alone, the stores elsewhere, secured.

`python tools/compose_elsewhere.py > docker-compose.elsewhere.yml`
"""

import sys
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[1]
STORES: Final = ("kafka", "valkey", "mongo")
CA: Final = "/run/twinstream/ca"
SECRETS: Final = {
    "TWINSTREAM_KAFKA_BOOTSTRAP": ["TWINSTREAM_KAFKA_PASSWORD"],
    "TWINSTREAM_MONGO_URI": ["TWINSTREAM_MONGO_URI"],
    "TWINSTREAM_REDIS_URL": ["TWINSTREAM_REDIS_URL"],
    "TWINSTREAM_SECRET": ["TWINSTREAM_SECRET"],
}
"""A variable that a process is told on one host, and the secrets that take its place; each a file of that name."""

TOLD: Final = {
    "TWINSTREAM_KAFKA_BOOTSTRAP": {
        "TWINSTREAM_KAFKA_BOOTSTRAP": "${TWINSTREAM_KAFKA_BOOTSTRAP:?see docs/deploy.md}",
        "TWINSTREAM_KAFKA_TLS": "true",
        "TWINSTREAM_KAFKA_CA_FILE": f"{CA}/kafka.crt",
        "TWINSTREAM_KAFKA_SASL_MECHANISM": "${TWINSTREAM_KAFKA_SASL_MECHANISM:-SCRAM-SHA-512}",
        "TWINSTREAM_KAFKA_USERNAME": "${TWINSTREAM_KAFKA_USERNAME:-twinstream}",
    },
    "TWINSTREAM_MONGO_URI": {"TWINSTREAM_MONGO_CA_FILE": f"{CA}/mongo.crt"},
    "TWINSTREAM_REDIS_URL": {
        "TWINSTREAM_REDIS_CA_FILE": f"{CA}/redis.crt",
        "TWINSTREAM_REDIS_CLUSTER": "${TWINSTREAM_REDIS_CLUSTER:-true}",
    },
    "TWINSTREAM_SECRET": {},
}
"""What else it is told of the server that the variable names."""

_HEAD: Final = """\
# Our processes on one Docker host; Kafka, MongoDB and Redis elsewhere, over TLS and with a login: see docs/deploy.md.
# Written by `python tools/compose_elsewhere.py > docker-compose.elsewhere.yml` out of docker-compose.yml.
"""


def document() -> dict[str, Any]:
    """The compose file."""
    whole = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    services = {name: service for name, service in whole["services"].items() if name not in STORES}
    services["init"]["command"] += ["--replication", "${TWINSTREAM_REPLICATION:-3}"]
    used = [variable for service in services.values() for variable in _replaced(service)]
    names = [secret for variable in dict.fromkeys(used) for secret in SECRETS[variable]]
    return {
        "name": whole["name"],
        "services": {name: _elsewhere(service) for name, service in services.items()},
        "networks": whole["networks"],
        "volumes": {n: volume for n, volume in whole["volumes"].items() if not n.startswith(STORES)},
        "secrets": {name: {"file": f"./secrets/{name}"} for name in names},
    }


def _elsewhere(service: dict[str, Any]) -> dict[str, Any]:
    """The same, waiting for no store, and told where and how it is reached."""
    service = dict(service)
    waited = {name: how for name, how in service.pop("depends_on", {}).items() if name not in STORES}
    if waited:
        service["depends_on"] = waited
    replaced = _replaced(service)
    if replaced:
        environment = {n: value for n, value in service["environment"].items() if n not in replaced}
        told = {name: value for variable in replaced for name, value in TOLD[variable].items()}
        service["environment"] = {**environment, **told, "TWINSTREAM_SECRETS_DIR": "/run/secrets"}
        service["secrets"] = [secret for variable in replaced for secret in SECRETS[variable]]
        service["volumes"] = [*service.get("volumes", []), f"./ca:{CA}:ro"]
        service["networks"] = ["inside", "outside"]
    return service


def _replaced(service: dict[str, Any]) -> list[str]:
    return [variable for variable in TOLD if variable in service.get("environment", {})]


def text() -> str:
    """The file."""
    return _HEAD + yaml.dump(document(), Dumper=_Plain, sort_keys=False, width=1000)


class _Plain(yaml.SafeDumper):
    """Writes everything out where it stands: aliases are for those who write by hand."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _quoted(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    """What is filled in may look like a number, and is none."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"' if "$" in value else None)


_Plain.add_representer(str, _quoted)

if __name__ == "__main__":
    sys.stdout.write(text())
