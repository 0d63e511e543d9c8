"""`/v1` keeps what every released version of it promised; a version is told of before it is one."""

import copy
import json
import re
import runpy
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PROMISE = runpy.run_path(str(ROOT / "tools/promise.py"))
FORMATS = ROOT / "tests/formats"
VERSIONS = sorted(path.name for path in FORMATS.iterdir())
SERVICES = ("ingest", "query-api")


@pytest.fixture(scope="module")
def now() -> dict[str, Any]:
    found: dict[str, Any] = PROMISE["present"]()
    return found


def kept(version_: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FORMATS / version_ / PROMISE["FILE"]).read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("version_", VERSIONS)
def test_what_was_promised_is_kept(now, version_: str, service: str) -> None:
    """No route, parameter or field of then is gone or of another type, and nothing more is asked for."""
    assert PROMISE["broken"](kept(version_)[service], now[service]) == []


def without(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *there, last = path
        for step in there:
            document = document[step]
        del document[last]

    return change


def with_(value: Any, *path: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *there, last = path
        for step in there:
            document = document[step]
        document[last] = value

    return change


CHILDREN = "GET /v1/a/{record_id}/b"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without("routes", CHILDREN), f"{CHILDREN} is gone"),
        (without("routes", CHILDREN, "parameters", "query limit"), "parameter query limit is gone"),
        (with_(True, "routes", CHILDREN, "parameters", "query of"), "parameter query of is asked for"),
        (with_("BRecord", "routes", CHILDREN, "answers", "200 application/json"), "was BPage"),
        (without("schemas", "BRecord"), "BRecord is gone"),
        (without("schemas", "BRecord", "fields", "text"), "BRecord.text was string"),
        (with_("null|string", "schemas", "BRecord", "fields", "text"), "BRecord.text was string"),
        (with_(["ids", "more"], "schemas", "Lookup", "required"), "Lookup.more is asked for"),
        (with_([], "schemas", "BRecord", "required"), "may be absent"),
    ],
)
def test_what_is_taken_away_is_noticed(now, change: Callable[[dict[str, Any]], None], says: str) -> None:
    """Each way of breaking a caller, done to what is promised now."""
    changed = copy.deepcopy(now["query-api"])
    change(changed)
    assert says in "; ".join(PROMISE["broken"](now["query-api"], changed))


def test_what_is_added_breaks_nothing(now) -> None:
    """A route, an optional parameter, a field, a word in a list of words."""
    changed = copy.deepcopy(now["query-api"])
    changed["routes"]["GET /v1/c"] = changed["routes"][CHILDREN]
    changed["routes"][CHILDREN]["parameters"]["query more"] = False
    changed["schemas"]["BRecord"]["fields"]["more"] = "string"
    changed["schemas"]["BRecord"]["required"].append("more")
    kinds = changed["schemas"]["Scope"]["fields"] if "Scope" in changed["schemas"] else {"": '"a"'}
    kinds[""] += '|"more"'
    assert PROMISE["broken"](now["query-api"], changed) == []


def test_this_version_is_told_of_and_kept(now) -> None:
    """pyproject.toml, what is installed, the newest section of the changelog and the formats are of one version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    sections = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    released = [re.fullmatch(r"(\d+\.\d+\.\d+) - \d{4}-\d\d-\d\d", section) for section in sections[1:]]
    assert sections[0] == "Unreleased"
    assert all(released)
    versions = [match[1] for match in released if match]
    assert versions == sorted(versions, key=lambda one: tuple(map(int, one.split("."))), reverse=True)
    assert project == versions[0] == version("twinstream")
    assert f"ARG VERSION={project}\n" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    deployed = (ROOT / "deploy/k8s/overlays/prod/kustomization.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"newTag: ([\w.]+)", deployed)) == {project}
    assert set(VERSIONS) >= {project}
    assert set(kept(project)) == set(now)
