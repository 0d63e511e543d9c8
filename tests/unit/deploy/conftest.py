"""What a deployment is held against: the processes as the code knows them."""

from pathlib import Path

import pytest

from localstack.census import Part, census

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Part]:
    """Every process that `twinstream up` starts."""
    return census(tmp_path_factory.mktemp("home"))
