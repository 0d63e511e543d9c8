"""Starts the worker: `python -m documents`."""

from common.process import main
from documents.settings import DocumentsSettings
from documents.wiring import run

if __name__ == "__main__":
    main("documents", DocumentsSettings, run)
