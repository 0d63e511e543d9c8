"""Starts the jobs: `python -m lake.jobs`."""

from common.process import main
from lake.jobs.store import SERVICE
from lake.jobs.wiring import run
from lake.settings import JobsSettings

if __name__ == "__main__":
    main(SERVICE, JobsSettings, run)
