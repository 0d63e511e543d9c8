"""A container's health check."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from common.probe import probe
from localstack.free_ports import free_port


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/well" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server():
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_only_a_200_is_healthy(server) -> None:
    """Any other answer is not, and none is not either."""
    url = f"http://127.0.0.1:{server.server_port}"
    assert (probe(f"{url}/well"), probe(f"{url}/ill")) == (0, 1)
    assert (probe(f"http://127.0.0.1:{free_port()}/well"), probe("")) == (1, 1)
