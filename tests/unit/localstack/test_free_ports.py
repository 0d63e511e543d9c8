"""Ports that tests are given: theirs alone, and good to listen on again and again."""

import socket
import subprocess
import sys

import pytest

from localstack.free_ports import free_port, free_ports, on_free_ports
from localstack.profile import DEFAULT_PORTS, Profile

BIND = "import socket, sys; socket.socket().bind(('127.0.0.1', int(sys.argv[1])))"


def test_a_profile_on_free_ports_has_all_of_them(tmp_path) -> None:
    """Two stacks of tests can run side by side."""
    first, second = [on_free_ports(Profile(tmp_path)).ports for _ in range(2)]
    assert set(first) == set(second) == set(DEFAULT_PORTS)
    assert len({*first.values(), *second.values()}) == 2 * len(DEFAULT_PORTS)


def test_a_server_may_listen_there_once_at_a_time() -> None:
    """And again after it has ended; whoever comes between finds nobody."""
    port = free_port()
    for _ in range(2):
        with socket.create_server(("127.0.0.1", port)):
            with pytest.raises(OSError, match="in use"):
                socket.create_server(("127.0.0.1", port))
            socket.create_connection(("127.0.0.1", port)).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


def test_nobody_else_is_given_the_same() -> None:
    """Another run of tests looks for them in a process of its own; nor those above, of a server that needs two."""
    for port in (*free_ports(2), *(port + 100 for port in free_ports(2, and_above=100))):
        taking = subprocess.run(  # noqa: S603  # as above
            [sys.executable, "-S", "-c", BIND, str(port)], check=False, capture_output=True, text=True
        )
        assert ("Address already in use" in taking.stderr) == (sys.platform == "linux")
