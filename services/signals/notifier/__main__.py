"""Starts the notifier: `python -m signals.notifier`."""

from common.process import main
from signals.notifier.mongo import SERVICE
from signals.notifier.settings import NotifierSettings
from signals.notifier.wiring import run

if __name__ == "__main__":
    main(SERVICE, NotifierSettings, run)
