"""The rules of the house: who may import whom, and who alone may talk to a driver."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LIBRARIES = {path.name: path for path in (ROOT / "libs").iterdir() if (path / "__init__.py").exists()}
SERVICES = {
    path.parent.name: path.parent
    for path in (ROOT / "services").rglob("__init__.py")
    if path.parent.parent.name in {"services", path.parent.name.replace("_", "-")}
}

# A driver is imported by its adapter alone, which translates its errors; everyone else speaks to the adapter.
DRIVERS = {
    "aiokafka": ["libs/common/kafka/"],
    "pymongo": [
        "libs/common/mongo.py",
        "libs/common/mongo_spans.py",
        "services/query-api/query_api/analytics_store.py",
        "services/documents/failures.py",
        "services/documents/store.py",
        "services/lake/jobs/store.py",
        "services/documents/rejected_store.py",
        "services/documents/generations.py",
        "services/documents/writes.py",
        "services/query-api/query_api/store.py",
        "services/query-api/query_api/rejected_store.py",
        "services/query-api/query_api/alert_store.py",
        "libs/auditing/documents.py",
        "services/signals/notifier/erasure_store.py",
        "services/signals/notifier/hits_store.py",
        "services/signals/notifier/mongo.py",
        "services/signals/notifier/store.py",
        "services/signals/notifier/delivery_store.py",
        "libs/archive/documents.py",
        "libs/localstack/",
    ],
    "aiohttp": [
        "services/signals/notifier/connections.py",
        "services/signals/notifier/webhooks.py",
        "services/signals/notifier/slack.py",
    ],
    "slack_sdk": ["services/signals/notifier/slack.py"],
    "redis": [
        "services/ingest/idempotency.py",
        "services/aggregates/store.py",
        "libs/windows/",
        "services/query-api/query_api/counts_store.py",
        "libs/localstack/",
    ],
    "pyiceberg": ["libs/twinstream_lake/", "services/lake/"],
    "sqlalchemy": ["libs/twinstream_lake/catalog.py"],
    "opentelemetry": ["libs/common/otel/", "libs/localstack/collector.py"],
    "jwt": ["libs/common/http/oidc.py", "libs/localstack/issuer.py"],
    "fastapi": ["libs/common/http/", "services/ingest/", "services/query-api/"],
}


def sources(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


@cache
def imported(path: Path) -> frozenset[str]:
    """The top-level names that a file imports."""
    return frozenset(name.partition(".")[0] for name in _modules(ast.parse(path.read_text())))


def _modules(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def test_every_room_of_the_house_is_seen() -> None:
    """A rule that looks at nothing would hold for ever."""
    assert {"common", "localstack"} <= set(LIBRARIES)
    assert {"ingest", "documents", "query_api"} <= set(SERVICES)


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_services_never_import_each_other(service: str) -> None:
    """What two services share is a contract in common, a topic or a stored document."""
    others = set(SERVICES) - {service}
    found = {
        str(path.relative_to(ROOT)): names for path in sources(SERVICES[service]) if (names := others & imported(path))
    }
    assert found == {}


@pytest.mark.parametrize("library", sorted(LIBRARIES))
def test_libraries_import_no_service_and_not_the_command(library: str) -> None:
    """The arrows point from services to libraries, never back."""
    forbidden = set(SERVICES) | {"twinstream"}
    found = {
        str(path.relative_to(ROOT)): names
        for path in sources(LIBRARIES[library])
        if (names := forbidden & imported(path))
    }
    assert found == {}


def test_common_imports_no_other_library() -> None:
    """What everything stands on stands on nothing of ours."""
    others = set(LIBRARIES) - {"common"}
    found = {
        str(path.relative_to(ROOT)): names
        for path in sources(LIBRARIES["common"])
        if (names := others & imported(path))
    }
    assert found == {}


@pytest.mark.parametrize("driver", sorted(DRIVERS))
def test_a_driver_is_imported_by_its_adapter_alone(driver: str) -> None:
    """One place translates a driver's errors; a second one would forget some."""
    homes = DRIVERS[driver]
    strangers = [
        relative
        for folder in ("libs", "services", "cli")
        for path in sources(ROOT / folder)
        if driver in imported(path)
        and not any((relative := str(path.relative_to(ROOT))).startswith(home) for home in homes)
    ]
    assert strangers == []


def test_the_command_imports_no_service() -> None:
    """The command speaks HTTP, as any other client does."""
    found = {
        str(path.relative_to(ROOT)): names
        for path in sources(ROOT / "cli")
        if (names := set(SERVICES) & imported(path))
    }
    assert found == {}


@pytest.mark.parametrize(("half", "other"), [("scan", "signals.notifier"), ("notifier", "signals.scan")])
def test_the_halves_of_signals_know_each_other_by_the_log_alone(half: str, other: str) -> None:
    """Each is a process of its own, which lags, stops and scales alone."""
    found = [path.name for path in sources(SERVICES["signals"] / half) if other in path.read_text()]
    assert found == []


# What connects, and the one place that tells it how: by TLS, with a login, to a cluster.
CONNECTS = {
    r"AsyncMongoClient\(": "libs/common/mongo.py",
    r"\bRedis(Cluster)?(\(|\.from_url\()": "libs/windows/connection.py",
    r"AIOKafka(Consumer|Producer|AdminClient)\((?!\s*\*\*client_options\()": "",
}


@pytest.mark.parametrize("connecting", sorted(CONNECTS))
def test_whatever_connects_is_told_how_in_one_place(connecting: str) -> None:
    """A client that is made elsewhere would speak in the open where all others speak TLS."""
    found = {
        str(path.relative_to(ROOT))
        for folder in ("libs", "services", "cli")
        for path in sources(ROOT / folder)
        if re.search(connecting, path.read_text()) and "localstack" not in path.parts
    }
    assert found - {CONNECTS[connecting]} == set()
