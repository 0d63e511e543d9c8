"""What the audits of the services log is told as one report, and its exit status is the gravest."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from twinstream.audit import _MODULES, Audited

GOOD = {"looked_at": 1200, "unit": "ids", "drift": 0, "examples": [], "left_out": None}


@pytest.fixture
def saying(surroundings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Modules in the place of the services' audits, which log what a test wants and end as it wants."""

    def saying(which: Audited, *events: dict[str, Any], status: int) -> None:
        lines = [json.dumps(event) for event in events]
        program = f"import sys\nfor line in {lines!r}: print(line, file=sys.stderr)\nsys.exit({status})\n"
        (tmp_path / f"audit_of_{which}.py").write_text(program)
        monkeypatch.setitem(_MODULES, which, f"audit_of_{which}")

    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert surroundings
    return saying


def audited(stream: str, between: str, **found: Any) -> dict[str, Any]:
    return {"event": "audited", "level": "info", "stream": stream, "between": between, **GOOD, **found}


def test_all_pairs_are_told(command, saying) -> None:
    """One line each, and the exit status 0; what the services log besides is left out."""
    saying(Audited.AGGREGATES, {"event": "starting", "level": "info"}, audited("a", "windows and log"), status=0)
    saying(Audited.LAKE, audited("b", "lake and documents"), status=0)
    told = command("audit")
    assert [(one["stream"], one["between"], one["looked_at"]) for one in told.json] == [
        ("a", "windows and log", 1200),
        ("b", "lake and documents", 1200),
    ]
    assert (told.status, told.err) == (0, "")
    assert [one["between"] for one in command("audit", "lake").json] == ["lake and documents"]


@pytest.mark.parametrize(("first", "second", "status"), [(1, 0, 1), (0, 3, 3), (3, 1, 1), (75, 3, 75), (1, 75, 1)])
def test_the_exit_status_is_the_gravest(command, saying, first, second, status) -> None:
    """A disagreement before a store that is away, and that before what was left out."""
    saying(Audited.AGGREGATES, status=first)
    saying(Audited.LAKE, status=second)
    assert command("audit").status == status


def test_people_are_shown_where_it_disagrees(command, saying) -> None:
    """And why something was left out; warnings go to standard error as they are."""
    wrong = audited("b", "lake and log", drift=1, examples=["records.b/1/2: the lake has no such row"])
    saying(Audited.AGGREGATES, audited("a", "windows and log", left_out="the windows lag"), status=3)
    saying(Audited.LAKE, wrong, {"event": "start_failed", "level": "error"}, status=1)
    told = command("audit", "--no-json")
    assert told.status == 1
    assert "records.b/1/2: the lake has no such row" in told.out
    assert "not all could be compared: the windows lag" in told.out
    assert "start_failed" in told.err
