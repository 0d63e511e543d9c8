"""Ports that are taken, and by whom."""

import os
import socket

import psutil
import pytest

from common.errors import CannotStart
from localstack.free_ports import free_port
from localstack.ports import check_ports


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def free():
    return free_port()


def test_free_ports_pass(free) -> None:
    """And stay free: to look is not to take."""
    check_ports({"kafka": free})
    check_ports({"kafka": free})


def test_a_port_in_use_is_told_with_all_one_needs_to_know(taken, free) -> None:
    """Which, for what, by which process, and how to use another."""
    with pytest.raises(CannotStart) as refusal:
        check_ports({"mongo": free, "kafka_controller": taken})
    name, pid = psutil.Process().name(), os.getpid()
    assert str(refusal.value) == (
        f"port {taken} (kafka controller) is in use by {name} (pid {pid}): stop it, or set "
        "TWINSTREAM_KAFKA_CONTROLLER_PORT"
    )


def test_every_port_in_use_is_told(taken) -> None:
    """So that nobody has to come back for the next."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        other = listener.getsockname()[1]
        with pytest.raises(CannotStart) as refusal:
            check_ports({"kafka": taken, "mongo": other})
    assert [line.split()[1] for line in str(refusal.value).splitlines()] == [str(taken), str(other)]


def test_a_listener_on_all_addresses_counts() -> None:
    """It would take connections that are meant for ours."""
    with socket.create_server(("0.0.0.0", 0)) as listener, pytest.raises(CannotStart, match="in use"):  # noqa: S104
        check_ports({"kafka": listener.getsockname()[1]})


def test_a_port_that_two_ask_for_is_told(free) -> None:
    """The second would fail later, and blame the first."""
    with pytest.raises(CannotStart, match="wanted twice: by TWINSTREAM_KAFKA_PORT and TWINSTREAM_MONGO_PORT"):
        check_ports({"kafka": free, "mongo": free})
