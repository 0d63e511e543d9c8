"""Starts the scanner: `python -m signals.scan`."""

from common.process import main
from signals.scan.settings import ScanSettings
from signals.scan.wiring import run
from signals.scan.worker import SERVICE

if __name__ == "__main__":
    main(SERVICE, ScanSettings, run)
