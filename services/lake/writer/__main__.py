"""Starts the writer: `python -m lake.writer`."""

from common.process import main
from lake.settings import WriterSettings
from lake.writer.log_table import SERVICE
from lake.writer.wiring import run

if __name__ == "__main__":
    main(SERVICE, WriterSettings, run)
