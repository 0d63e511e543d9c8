"""Starts ingest: `python -m ingest`."""

from common.process import main
from ingest.intake import SERVICE
from ingest.settings import IngestSettings
from ingest.wiring import run

if __name__ == "__main__":
    main(SERVICE, IngestSettings, run)
