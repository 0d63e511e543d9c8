"""Starts maintenance: `python -m lake.maintenance`."""

from common.process import main
from lake.maintenance.rounds import SERVICE
from lake.maintenance.wiring import run
from lake.settings import MaintenanceSettings

if __name__ == "__main__":
    main(SERVICE, MaintenanceSettings, run)
