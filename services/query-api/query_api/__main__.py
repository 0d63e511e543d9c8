"""Starts the query API: `python -m query_api`."""

from common.process import main
from query_api.settings import QueryApiSettings
from query_api.wiring import SERVICE, run

if __name__ == "__main__":
    main(SERVICE, QueryApiSettings, run)
