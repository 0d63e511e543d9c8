"""Whoever reads the lake by DuckDB is told at once where its files are out of reach."""

import pytest

from common.contracts import Stream
from common.errors import CannotStart
from common.settings import LakeSettings
from twinstream_lake.catalog import Catalog
from twinstream_lake.lake import open_lake
from twinstream_lake.past import LakePast


@pytest.fixture
def elsewhere(tmp_path) -> LakeSettings:
    return LakeSettings(lake_catalog_uri=f"sqlite:///{tmp_path}/catalog.db", lake_warehouse="s3://bucket/lake")


@pytest.mark.parametrize(
    "read",
    [
        Catalog.of_local_files,
        lambda settings: open_lake(settings=settings, niceness=0),
        lambda settings: LakePast(settings, Stream.B),
    ],
)
def test_files_on_s3_are_refused_by_a_code(elsewhere, read) -> None:
    """Not by whatever DuckDB says of an extension that it lacks, once something is asked."""
    with pytest.raises(CannotStart, match="TWINSTREAM_LAKE_WAREHOUSE is on s3") as refused:
        read(elsewhere)
    assert refused.value.code == "lake_not_local"


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_folders_of_this_machine_are_read(elsewhere, tmp_path, prefix: str) -> None:
    settings = elsewhere.model_copy(update={"lake_warehouse": f"{prefix}{tmp_path}/warehouse"})
    catalog = Catalog.of_local_files(settings)
    assert catalog.catalog.list_namespaces() == []
    catalog.close()
