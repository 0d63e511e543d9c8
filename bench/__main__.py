"""`python bench [NAME ...] [--quick] [--keep]`: run measurements, show them, keep them."""

import argparse
import importlib
import sys
from pathlib import Path
from typing import Protocol

import uvloop
from harness import report, results
from harness.figures import Figure

HERE = Path(__file__).parent


class Measurement(Protocol):
    """A `bench_*.py`: its first docstring line says what it measures."""

    async def run(self, *, quick: bool) -> list[Figure]:
        """Measure; `quick` for a look at whether it works."""


def names() -> list[str]:
    """The measurements there are."""
    return sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))


def main() -> int:
    """Returns 1 when a figure misses its aim or has become worse."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*names(), []], help="which ones; all when none is named")
    parser.add_argument("--quick", action="store_true", help="short runs: the figures are not worth keeping")
    parser.add_argument("--keep", action="store_true", help="add the run to bench/results")
    options = parser.parse_args()
    if options.quick and options.keep:
        parser.error("a quick run is not worth keeping")
    return max([_measure(name, quick=options.quick, keep=options.keep) for name in options.names or names()], default=0)


def _measure(name: str, *, quick: bool, keep: bool) -> int:
    measurement: Measurement = importlib.import_module(f"bench_{name}")
    run = results.run_of(name, uvloop.run(measurement.run(quick=quick)))
    kept = results.kept(name)
    former = kept[-1] if kept else None
    report.show(name, run, former)
    if keep:
        results.keep(name, run)
        report.plot(results.FOLDER / f"{name}.svg", name, run.figures)
    before = {f.name: f for f in former.figures} if former else {}
    return int(any(f.missed or (f.name in before and f.worse_than(before[f.name])) for f in run.figures))


if __name__ == "__main__":
    sys.exit(main())
