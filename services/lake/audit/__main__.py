"""Audits the lake once: `python -m lake.audit`."""

from common.process import main
from lake.audit.wiring import SERVICE, run
from lake.settings import AuditSettings

if __name__ == "__main__":
    main(SERVICE, AuditSettings, run)
