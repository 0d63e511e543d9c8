"""Runs as data: kept in bench/results, one file per measurement, the newest run last."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from harness.figures import Figure

FOLDER = Path(__file__).parents[1] / "results"


class Run(msgspec.Struct, kw_only=True, frozen=True):
    """One run of one measurement."""

    command: str
    at: str  # RFC 3339, UTC
    commit: str
    machine: dict[str, str]
    figures: list[Figure]


def kept(name: str) -> list[Run]:
    """All kept runs of a measurement, oldest first."""
    path = FOLDER / f"{name}.json"
    return msgspec.json.decode(path.read_bytes(), type=list[Run]) if path.exists() else []


def keep(name: str, run: Run) -> Path:
    """Add `run` to what is kept."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode([*kept(name), run]), indent=1) + b"\n")
    return path


def run_of(name: str, figures: list[Figure]) -> Run:
    """A run as of now."""
    return Run(
        command=f'make bench ARGS="{name} --keep"',
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=_commit(),
        machine={
            "cpus": str(os.cpu_count()),
            "memory_gib": str(round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
        },
        figures=figures,
    )


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607  # git as the developer has it
        cwd=FOLDER.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "unknown"
