"""docker-compose.yml against the compose specification, and against what the processes themselves read and listen on.

The parts come from the code: a process that is added to `twinstream up` and not to docker-compose.yml fails here.
"""

import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer
import yaml
from compose_spec import PyOptions

from archive.archive import ArchiveSettings
from common.settings import KafkaSettings
from twinstream.__main__ import app

ROOT = Path(__file__).parents[3]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
# The setting that names a server, and where the compose file has that server.
SERVERS = {
    "kafka_bootstrap": ("TWINSTREAM_KAFKA_BOOTSTRAP", "kafka", 9092),
    "mongo_uri": ("TWINSTREAM_MONGO_URI", "mongo", 27017),
    "redis_url": ("TWINSTREAM_REDIS_URL", "valkey", 6379),
}
THEIRS = {"kafka", "valkey", "mongo", "prometheus", "grafana"}
ONCE = {"init": KafkaSettings, "demo": KafkaSettings, "backup": ArchiveSettings}


def example() -> dict[str, str]:
    lines = [line for line in (ROOT / ".env.example").read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.partition("=")[::2] for line in lines)


def interpolated(text: str) -> str:
    """As Docker reads it with a filled-in copy of .env.example."""
    values = {name: value or "filled-in" for name, value in example().items()}
    return VARIABLE.sub(lambda match: values[match[1]], text)


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = yaml.safe_load(interpolated(COMPOSE))["services"]
    return services


def test_it_is_what_the_specification_says() -> None:
    """Every key and type, and every network and volume that a service names is there."""
    PyOptions(apply_merge=True).from_yaml(interpolated(COMPOSE)).validate()


def test_every_process_has_a_service_and_no_service_has_none(parts, services) -> None:
    """What `twinstream up` starts, the compose file starts, under the same name."""
    ours = set(services) - THEIRS - set(ONCE)
    assert {part.name for part in parts} == ours, "see docs/deploy.md, 'A new process'"


def test_every_service_runs_its_module_from_its_own_image(parts, services) -> None:
    """Image, build argument, health check and command belong together."""
    for part in parts:
        service = services[part.name]
        assert service["command"] == [part.module]
        assert service["build"]["args"] == {"EXTRA": part.extra, "METRICS_PORT": part.metrics_port}
        assert service["image"] == f"twinstream-{part.extra}:dev"


def test_every_variable_is_one_that_the_process_reads(parts, services) -> None:
    """A misspelt one would be passed over in silence; a required one that is missing would stop the start."""
    for part in parts:
        given = set(services[part.name]["environment"])
        assert given <= part.variables, part.name
        assert part.required <= given, part.name


def test_no_service_names_its_containers(parts, services) -> None:
    """`--scale` makes several of one: under one name each would take the partitions of the others, without end."""
    assert [part.name for part in parts if "TWINSTREAM_INSTANCE" in services[part.name]["environment"]] == []


def test_every_process_is_told_of_the_servers_it_needs_and_waits_for_them(parts, services) -> None:
    """Each server's address, and no start before it is healthy and the topics are made."""
    for part in parts:
        service = services[part.name]
        needed = {name: server for name, server in SERVERS.items() if name in part.settings.model_fields}
        for variable, server, port in needed.values():
            address = urlsplit("//" + service["environment"][variable].rpartition("//")[2])
            assert (address.hostname, address.port) == (server, port)
        expected = {server: {"condition": "service_healthy"} for _, server, _ in needed.values()}
        if "kafka" in expected:
            expected["init"] = {"condition": "service_completed_successfully"}
        assert service.get("depends_on", {}) == expected
    assert all(services[server]["healthcheck"]["test"] for server in THEIRS)


def test_every_port_is_the_processs_own_and_reachable_from_this_machine_alone(parts, services) -> None:
    """What listens for people is published on loopback; metrics and servers are not published at all."""
    known = example()
    for part in parts:
        published = [f"127.0.0.1:{known['TWINSTREAM_' + name.upper()]}:{port}" for name, port in part.ports.items()]
        assert services[part.name].get("ports", []) == published
        assert "inside" in services[part.name]["networks"]
    assert all("ports" not in services[server] for server in ("kafka", "valkey", "mongo"))
    assert all(services[server]["networks"] == ["inside"] for server in ("kafka", "valkey", "mongo"))
    assert all(port.startswith("127.0.0.1:") for service in services.values() for port in service.get("ports", []))


def test_ours_run_without_rights_and_all_within_limits(parts, services) -> None:
    """No root, no capabilities, nothing written to the image, an end to memory, processes and logs."""
    for name in ({part.name for part in parts} | set(ONCE)) & set(services):
        service = services[name]
        assert service["user"] == "10001:10001"
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["pids_limit"]
    for service in services.values():
        assert service["mem_limit"]
        assert service["cpus"]
        assert service["logging"]["options"]["max-size"]


def test_every_image_of_others_is_pinned_to_a_release(services) -> None:
    """Kafka's is the release that the tests run; the others name a full version."""
    for name in THEIRS:
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+(-\w+)?", services[name]["image"]), name
    lock = tomllib.loads((ROOT / "libs/localstack/kafka.lock.toml").read_text())["jars"]
    tested = next(name.split(":")[2] for name in lock if name.startswith("org.apache.kafka:kafka_2.13:"))
    assert services["kafka"]["image"] == f"apache/kafka:{tested}"
    assert int(services["kafka"]["environment"]["KAFKA_MESSAGE_MAX_BYTES"]) >= KafkaSettings().max_message_bytes


def test_env_example_names_what_the_file_asks_for() -> None:
    """No variable that is asked for and not explained, none that is explained and not asked for; no secret is kept."""
    asked = {match[1]: (match[2], match[3]) for match in VARIABLE.finditer(COMPOSE)}
    known = example()
    assert set(asked) == set(known)
    for name, (sort, default) in asked.items():
        assert default == ("see .env.example" if sort == "?" else known[name]), name
    assert {name for name, value in known.items() if not value} == {n for n, (sort, _) in asked.items() if sort == "?"}


def test_prometheus_asks_every_process(parts) -> None:
    """By its name and on its metrics port; one name may stand for several containers."""
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    (ours,) = [job["dns_sd_configs"] for job in scraped if job["job_name"] == "twinstream"]
    assert {name: entry["port"] for entry in ours for name in entry["names"]} == {
        part.name: part.metrics_port for part in parts
    }


def test_grafana_finds_what_is_mounted_for_it(services) -> None:
    """The folder that the provider reads is the one that the dashboards are mounted at, and its data source exists."""
    provisioning = ROOT / "deploy/grafana/provisioning"
    (provider,) = yaml.safe_load((provisioning / "dashboards/twinstream.yml").read_text())["providers"]
    mounts = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"])
    assert mounts["./deploy/grafana/dashboards"] == provider["options"]["path"]
    (source,) = yaml.safe_load((provisioning / "datasources/twinstream.yml").read_text())["datasources"]
    assert (source["uid"], source["url"]) == ("prometheus", "http://prometheus:9090")
    for host_path in (path for path in mounts if path.startswith("./")):
        assert (ROOT / host_path).is_dir()


@pytest.mark.parametrize("name", sorted(ONCE))
def test_what_runs_once_is_called_as_the_command_expects_it(services, name: str) -> None:
    """The command itself parses its options, and its variables are those that the command or Kafka's client read."""
    module, command, *arguments = services[name]["command"]
    main = typer.main.get_command(app)
    assert module == "twinstream"
    assert main.commands[command].make_context(command, arguments)
    read = {option.envvar for option in main.params} | {f"TWINSTREAM_{f.upper()}" for f in ONCE[name].model_fields}
    assert set(services[name]["environment"]) <= read
    assert services[name]["image"] == "twinstream-cli:dev"
    asked_for = [name] if name != "init" else None
    assert services[name].get("profiles") == asked_for
    assert services[name]["restart"] == ("no" if asked_for else "on-failure")


def test_what_is_written_may_be_written(services) -> None:
    """A volume that is new has the owner that its folder has in the image; where there is none it is root's."""
    made = re.search(r"install --directory --owner=10001 --group=10001 ([\w/ -]+)", (ROOT / "Dockerfile").read_text())
    assert made is not None
    for name in set(services) - THEIRS:
        mounts = [volume.split(":") for volume in services[name].get("volumes", []) if not volume.startswith("./")]
        written = {folder for _, folder, *mode in mounts if "ro" not in mode}
        assert written <= {*made[1].split(), "/tmp"}, name  # noqa: S108  # which anybody may write to
