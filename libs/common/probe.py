"""Asks a process whether it is well, for a container's health check: `python -m common.probe [URL]`.

Without an argument it asks what HEALTH_URL names. An image needs no curl for it.
"""

import http.client
import os
import sys
from urllib.parse import urlsplit

_PATIENCE_S = 4.0


def probe(url: str) -> int:
    """The exit status: 0 when `url` answers with 200, else 1."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_PATIENCE_S)
    try:
        connection.request("GET", parts.path or "/")
        return 0 if connection.getresponse().status == http.HTTPStatus.OK else 1
    except (OSError, http.client.HTTPException):
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(probe(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("HEALTH_URL", "")))
