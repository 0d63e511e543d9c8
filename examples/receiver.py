"""A webhook's receiver: it verifies every message, drops those that it has had, and shows the rest.

    .venv/bin/python examples/receiver.py whsec_...          # listens on 127.0.0.1:8099

Nothing but `standardwebhooks` and the standard library, so that it can be taken along. A receiver of your own does the
same three things: verify the raw bytes, answer 2xx soon, and do nothing twice for one `webhook-id`.
"""

import argparse
import json
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from standardwebhooks import Webhook, WebhookVerificationError

_LONGEST: Final = 32 * 1024 * 1024


class Receiver(ThreadingHTTPServer):
    """Knows the secrets that may sign, more than one during a rotation, and the ids that it has had."""

    def __init__(self, address: tuple[str, int], secrets: Sequence[str]) -> None:
        super().__init__(address, _Handler)
        self.webhooks = [Webhook(secret) for secret in secrets]
        self.had: set[str] = set()  # yours lies in a database, and forgets after a few days

    def verified(self, content: bytes, headers: dict[str, str]) -> Any:
        """The message, or None where no secret of ours has signed it."""
        for webhook in self.webhooks:
            try:
                return webhook.verify(content, headers)
            except WebhookVerificationError:
                continue
        return None


class _Handler(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        content = self.rfile.read(min(int(self.headers.get("Content-Length", "0")), _LONGEST))
        message = self.server.verified(content, dict(self.headers))
        if message is None:
            self._answer(401, "the signature does not fit")
            return
        if self.headers["webhook-id"] not in self.server.had:
            self.server.had.add(self.headers["webhook-id"])
            show(message)
        self._answer(200, "thank you")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the parent's name
        """What is shown is the messages."""


def show(message: dict[str, Any]) -> None:
    """One line for each alert."""
    alerts = message["data"].get("alerts")
    if alerts is None:
        print(message["type"], json.dumps(message["data"]), flush=True)  # for whoever watches
    for alert in alerts or ():
        found = ", ".join(repr(match["text"]) for match in alert["matches"])
        record = alert["record"]
        print(
            f"{message['type']}  {alert['severity']:<8} {alert['rule']}: {found} in {record['unique_identifier']}: "
            f"{record['text'][:100]}",
            flush=True,
        )


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Shows alerts that are sent to it, once each.")
    arguments.add_argument("secrets", nargs="+", metavar="SECRET", help="whsec_..., as the destination was made with")
    arguments.add_argument("--port", type=int, default=8099)
    given = arguments.parse_args()
    print(f"listening on http://127.0.0.1:{given.port}", flush=True)
    Receiver(("127.0.0.1", given.port), given.secrets).serve_forever()
