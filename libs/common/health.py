"""What a process says of itself on its metrics port: /metrics, /healthz and /readyz.

It answers from a thread of its own, so that a scrape costs the event loop nothing; liveness is the loop's own
heartbeat, so that a loop that hangs is noticed all the same.
"""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from common.errors import CannotStart

HEARTBEAT_S: Final = 1.0
DEAD_AFTER_S: Final = 30.0
_HEARS_EVERY_S: Final = 0.1  # that it shall stop, which a process waits for at its end

Check = Callable[[], str | None]
"""Answers None when all is well, else what is not."""


class Health:
    """Named readiness checks and the event loop's heartbeat."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._beat = time.monotonic()

    def add(self, name: str, check: Check) -> None:
        self._checks[name] = check

    def problems(self) -> dict[str, str]:
        """The checks that fail, with what they say."""
        found = {name: check() for name, check in list(self._checks.items())}
        return {name: problem for name, problem in found.items() if problem is not None}

    def starting(self) -> bool:
        """Whether there is nothing yet that could fail: a process adds its checks once its parts are there."""
        return not self._checks

    def alive(self) -> bool:
        return time.monotonic() - self._beat < DEAD_AFTER_S

    async def beat(self) -> None:
        """Run beside the work for as long as the process lives."""
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(HEARTBEAT_S)


class StatusServer:
    """Serves a process's metrics and health over HTTP, from a daemon thread."""

    def __init__(self, host: str, port: int, health: Health) -> None:
        handler = type("Handler", (_Handler,), {"health": health})
        try:
            self._server = ThreadingHTTPServer((host, port), handler)
        except OSError as error:
            raise CannotStart(f"cannot serve metrics on {host}:{port}: {error.strerror}") from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_HEARS_EVERY_S,), name="status", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    health: Health

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(200, CONTENT_TYPE_LATEST, generate_latest())
        elif path == "/healthz":
            alive = self.health.alive()
            self._json(200 if alive else 503, {"status": "ok" if alive else "the event loop stands still"})
        elif path == "/readyz":
            problems = {"start": "nothing is at work yet"} if self.health.starting() else self.health.problems()
            self._json(503 if problems else 200, {"status": "not ready" if problems else "ok", "problems": problems})
        else:
            self._json(404, {"status": "only /metrics, /healthz and /readyz are here"})

    def _json(self, status: int, body: object) -> None:
        self._answer(status, "application/json", json.dumps(body).encode())

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the parent's name
        """A scrape is not an event."""
