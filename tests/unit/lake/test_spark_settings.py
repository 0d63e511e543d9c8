"""What Spark is told of the lake: the same database and the same files, in JDBC's words."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from common.settings import LakeSettings

SUBMIT = Path(__file__).parents[3] / "examples" / "spark" / "submit.py"


@pytest.fixture
def submit() -> Any:
    spec = importlib.util.spec_from_file_location("submit", SUBMIT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:////lake/catalog.db", {"uri": "jdbc:sqlite:/lake/catalog.db"}),
        ("sqlite:///catalog.db", {"uri": f"jdbc:sqlite:{Path('catalog.db').absolute()}"}),
        (
            "postgresql+psycopg://reader:p%40ss@db:5433/lake",
            {"uri": "jdbc:postgresql://db:5433/lake", "jdbc.user": "reader", "jdbc.password": "p@ss"},
        ),
    ],
)
def test_an_address_is_the_same_in_jdbcs_words(submit, uri: str, expected: dict[str, str]) -> None:
    """A password goes by itself, as it is; the catalog is called as it was when the tables were written."""
    told = submit.catalog(LakeSettings(lake_catalog_uri=uri, lake_warehouse="s3://bucket/lake"))
    kept = ("uri", "jdbc.user", "jdbc.password")
    prefix = "spark.sql.catalog.lake."
    assert {name: told[prefix + name] for name in kept if prefix + name in told} == expected
    assert told[prefix + "warehouse"] == "s3://bucket/lake"
    assert told[prefix + "jdbc.schema-version"] == "V1"
