"""Requests and limits of memory are what was measured, and what the settings let a process take beyond it."""

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from localstack.census import Part

ROOT = Path(__file__).parents[3]
MIB = 2**20
UNITS = {"Mi": 1, "Gi": 1024, "m": 1, "g": 1024}
SETS_OF_REGEXES_MIB = 2 * 256  # RE2 gives up beyond it; a new set is made while the former one is in force
# What settings let a process hold that the measurement had no use for.
BEYOND = {
    "ingest": lambda settings: 2 * settings["max_bytes_in_hand"] / MIB,  # bodies, and the records out of them
    "scan": lambda _: SETS_OF_REGEXES_MIB,
    "lake-maintenance": lambda settings: settings["lake_memory_mb"],
    "lake-jobs": lambda settings: settings["lake_queries_at_once"] * settings["lake_query_memory_mb"],
}


@pytest.fixture(scope="module")
def measured() -> dict[str, float]:
    """The most that each process held while ten million records went by, in MiB: the last run of `bench memory`."""
    figures = json.loads((ROOT / "bench/results/memory.json").read_text())[-1]["figures"]
    held: dict[str, float] = {}
    for figure in figures:
        if figure["unit"] == "MiB":
            held[figure["series"]] = max(held.get(figure["series"], 0.0), figure["median"])
    return held


@cache
def pods() -> dict[str, dict[str, Any]]:
    kubectl = Path(sys.executable).with_name("kubectl")
    built = subprocess.run(  # noqa: S603
        [kubectl, "kustomize", ROOT / "deploy/k8s/overlays/prod"], capture_output=True, text=True, check=True
    )
    workloads = [one for one in yaml.safe_load_all(built.stdout) if one["kind"] in {"Deployment", "StatefulSet"}]
    return {w["metadata"]["name"]: w["spec"]["template"]["spec"] for w in workloads}


def resources() -> dict[str, dict[str, Any]]:
    return {name: pod["containers"][0]["resources"] for name, pod in pods().items()}


def spill_limits() -> dict[str, str]:
    """How large /tmp may become."""
    folders = {name: [v for v in pod["volumes"] if v["name"] == "tmp"] for name, pod in pods().items()}
    return {name: folder[0]["emptyDir"]["sizeLimit"] for name, folder in folders.items() if folder}


def mib(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(\w+)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


def beyond(part: Part) -> float:
    defaults = {name: field.default for name, field in part.settings.model_fields.items()}
    return BEYOND[part.name](defaults) if part.name in BEYOND else 0.0


def test_what_is_asked_for_is_what_is_used(parts, measured) -> None:
    """A fifth more than was measured, so that no node is promised to more than it holds; and not many times as much."""
    for part in parts:
        asked = mib(resources()[part.name]["requests"]["memory"])
        assert 1.2 * measured[part.name] <= asked <= 4 * measured[part.name], part.name


def test_no_limit_is_reached_by_what_the_settings_allow(parts, measured) -> None:
    """What was measured, with all that is allowed beyond it, and a quarter to spare."""
    for part in parts:
        limit = mib(resources()[part.name]["limits"]["memory"])
        assert limit >= 1.25 * (measured[part.name] + beyond(part)), part.name


def test_what_queries_spill_fits_where_it_goes(parts) -> None:
    """A pod whose folder grows beyond its limit is thrown out; on one host what is spilled must not lie in memory."""
    jobs = next(part for part in parts if part.name == "lake-jobs").settings.model_fields
    spilled = jobs["lake_queries_at_once"].default * jobs["lake_query_disk_mb"].default
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name in ("lake-jobs", "lake-maintenance"):
        assert mib(spill_limits()[name]) >= 1.25 * spilled, name
        assert services[name]["tmpfs"] == []
        assert f"{name}-tmp:/tmp" in services[name]["volumes"]


def test_one_docker_host_has_the_same_limits(parts) -> None:
    """In docker-compose.yml and in the cluster."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for part in parts:
        assert mib(services[part.name]["mem_limit"]) == mib(resources()[part.name]["limits"]["memory"]), part.name


def test_the_page_tells_the_same(parts, measured) -> None:
    """docs/deploy.md has a row for each process: measured, beyond, asked for, limit."""
    page = (ROOT / "docs/deploy.md").read_text()
    rows = {
        row[0]: row[1:]
        for row in re.findall(r"^\| `([\w-]+)` \| (\d+) \| (\d+) \| (\w+) \| (\w+) \|", page, re.MULTILINE)
    }
    assert set(rows) == {part.name for part in parts}
    for part in parts:
        held, more, asked, limit = rows[part.name]
        told = resources()[part.name]
        assert int(held) == pytest.approx(measured[part.name], rel=0.15), part.name
        assert int(more) == round(beyond(part))
        assert (asked, limit) == (told["requests"]["memory"], told["limits"]["memory"])
