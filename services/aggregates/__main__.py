"""Starts the worker: `python -m aggregates`."""

from aggregates.settings import AggregatesSettings
from aggregates.store import SERVICE
from aggregates.wiring import run
from common.process import main

if __name__ == "__main__":
    main(SERVICE, AggregatesSettings, run)
