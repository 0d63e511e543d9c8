"""`twinstream rebuild`: what it runs, and what may be forced."""

from types import SimpleNamespace
from typing import Any

import pytest

MISSING = "TWINSTREAM_REBUILD_MISSING_PERCENT"


@pytest.mark.parametrize(("options", "percent"), [([], None), (["--force"], "100")], ids=["held back", "forced"])
def test_documents_that_lack_too_many_take_over_by_force_alone(
    command, monkeypatch, tmp_path, options: list[str], percent: str | None
) -> None:
    """The status of what it runs is its own."""
    monkeypatch.setenv("TWINSTREAM_HOME", str(tmp_path))
    ran: dict[str, Any] = {}

    def run(arguments: list[str], *, env: dict[str, str], check: bool) -> SimpleNamespace:
        ran.update(module=arguments[-1], percent=env.get(MISSING), check=check)
        return SimpleNamespace(returncode=65)

    monkeypatch.setattr("twinstream.repair.subprocess.run", run)
    assert command("rebuild", "documents", *options).status == 65
    assert ran == {"module": "documents.rebuild", "percent": percent, "check": False}


def test_windows_are_never_held_back(command) -> None:
    """There is nothing to force."""
    result = command("rebuild", "aggregates", "--force")
    assert (result.status, "Only documents are held back" in result.err) == (2, True)
