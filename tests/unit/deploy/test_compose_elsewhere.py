"""docker-compose.elsewhere.yml: the processes of docker-compose.yml, told of secured stores that are elsewhere."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from compose_spec import PyOptions

from archive.archive import ArchiveSettings
from common.settings import PREFIX, KafkaSettings, Settings
from twinstream.__main__ import app

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.elsewhere.yml").read_text()
VARIABLE = re.compile(r"\$\{\w+(?::[-?]([^}]*))?\}")
# What whoever runs it keeps in files, each as long and as formed as it should be.
KEPT = {
    "TWINSTREAM_KAFKA_PASSWORD": "pa55word",
    "TWINSTREAM_MONGO_URI": "mongodb://us:word@mongo.example.com/?tls=true",
    "TWINSTREAM_REDIS_URL": "rediss://:word@redis.example.com:6379/0",
    "TWINSTREAM_SECRET": "ab" * 32,
}


def interpolated() -> str:
    """With every default, and something for what has none."""
    return VARIABLE.sub(lambda match: match[1] if match[1] and "see " not in match[1] else "filled-in", TEXT)


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = yaml.safe_load(interpolated())["services"]
    return services


def test_it_is_written_from_the_other() -> None:
    """What is changed there is changed here."""
    written = runpy.run_path(str(ROOT / "tools/compose_elsewhere.py"))["text"]()
    assert written == TEXT, "run: python tools/compose_elsewhere.py > docker-compose.elsewhere.yml"


def test_it_is_what_the_specification_says() -> None:
    """Every network, volume and secret that a service names is there."""
    PyOptions(apply_merge=True).from_yaml(interpolated()).validate()


@pytest.fixture(scope="module")
def kinds(parts) -> dict[str, type[Settings]]:
    """What each process reads, and what runs once."""
    return {part.name: part.settings for part in parts} | {"init": KafkaSettings, "backup": ArchiveSettings}


def told(service: dict[str, Any]) -> dict[str, str]:
    """What it finds in its environment, by the settings' names."""
    names = service["environment"].keys() - {"TWINSTREAM_SECRETS_DIR", "TWINSTREAM_KEY"}
    return {name.removeprefix(PREFIX).lower(): service["environment"][name] for name in names}


def kept(service: dict[str, Any]) -> dict[str, str]:
    """What it finds in files, likewise."""
    return {name.removeprefix(PREFIX).lower(): KEPT[name] for name in service.get("secrets", [])}


def test_no_store_is_started(kinds, services) -> None:
    """And every process is."""
    assert {"kafka", "valkey", "mongo"}.isdisjoint(services)
    assert set(kinds) <= set(services)


def test_what_is_secret_stands_in_files_alone(kinds, services) -> None:
    """Whoever may look at containers sees every environment; the lake's catalog is a file here and has no password."""
    for name, kind in kinds.items():
        secret = {field for field, about in kind.model_fields.items() if "Secret" in str(about.annotation)}
        assert secret & told(services[name]).keys() <= {"lake_catalog_uri"}
        if kept(services[name]):
            assert services[name]["environment"]["TWINSTREAM_SECRETS_DIR"] == "/run/secrets"


def test_every_process_takes_what_it_is_told_and_speaks_tls(kinds, services) -> None:
    """No setting that it does not know, none that contradicts another, every file of authorities mounted."""
    for name, kind in kinds.items():
        given = told(services[name]) | kept(services[name])
        assert given.keys() <= kind.model_fields.keys(), name
        settings = kind(**given)
        mounts = dict(volume.split(":")[:2] for volume in services[name].get("volumes", []))
        for server in ("kafka", "mongo", "redis"):
            if f"{server}_ca_file" in kind.model_fields:
                assert getattr(settings, f"{server}_tls"), name
                assert getattr(settings, f"{server}_ca_file") == f"{mounts['./ca']}/{server}.crt"
                assert "outside" in services[name]["networks"]


def test_topics_are_made_with_as_many_copies_as_there_are_brokers(services) -> None:
    """By options that the command parses."""
    _, command, *arguments = services["init"]["command"]
    parsed = typer.main.get_command(app).commands[command].make_context(command, arguments).params
    assert parsed["replication"] == 3
