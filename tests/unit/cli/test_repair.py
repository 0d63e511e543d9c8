"""`twinstream rebuild`: what it runs, and what may be forced."""

from types import SimpleNamespace
from typing import Any

import pytest

MISSING = "TWINSTREAM_REBUILD_MISSING_PERCENT"


SOURCE = "TWINSTREAM_REBUILD_FROM"


@pytest.mark.parametrize(
    ("options", "percent", "source"),
    [([], None, "log"), (["--force"], "100", "log"), (["--from", "lake"], None, "lake")],
    ids=["held back", "forced", "from the lake"],
)
def test_what_a_rebuild_is_told(  # noqa: PLR0917  # cases
    command, monkeypatch, tmp_path, options: list[str], percent: str | None, source: str
) -> None:
    """Documents that lack too many take over by force alone. The status of what it runs is its own."""
    monkeypatch.setenv("TWINSTREAM_HOME", str(tmp_path))
    ran: dict[str, Any] = {}

    def run(arguments: list[str], *, env: dict[str, str], check: bool) -> SimpleNamespace:
        ran.update(module=arguments[-1], percent=env.get(MISSING), source=env[SOURCE], check=check)
        return SimpleNamespace(returncode=65)

    monkeypatch.setattr("twinstream.repair.subprocess.run", run)
    assert command("rebuild", "documents", *options).status == 65
    assert ran == {"module": "documents.rebuild", "percent": percent, "source": source, "check": False}


def test_windows_are_never_held_back(command) -> None:
    """There is nothing to force."""
    result = command("rebuild", "aggregates", "--force")
    assert (result.status, "Only documents are held back" in result.err) == (2, True)
