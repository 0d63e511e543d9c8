"""Whether the ports are free, and who has those that are not."""

import errno
import socket
from collections import defaultdict
from collections.abc import Mapping

import psutil

from common.errors import CannotStart
from localstack.profile import HOST, port_variable


def check_ports(wanted: Mapping[str, int]) -> None:
    """Make sure that the ports of `wanted`, by their names in the profile, can be listened on.

    Raises:
        CannotStart: says which cannot, what for, who has them, and which settings change them.
    """
    problems = [*_shared(wanted), *(problem for name, port in wanted.items() if (problem := _problem(name, port)))]
    if problems:
        raise CannotStart("\n".join(problems))


def _shared(wanted: Mapping[str, int]) -> list[str]:
    names = defaultdict(list)
    for name, port in wanted.items():
        names[port].append(port_variable(name))
    return [f"port {port} is wanted twice: by {' and '.join(who)}" for port, who in names.items() if len(who) > 1]


def _problem(name: str, port: int) -> str | None:
    """Why `port` cannot be listened on. Only trying tells: a listener on all addresses takes ours as well."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"port {port} ({_spoken(name)}) is in use by {_holder(port)}: stop it, or set {port_variable(name)}"
        return f"port {port} ({_spoken(name)}) cannot be used: {error.strerror}; set {port_variable(name)}"
    return None


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _holder(port: int) -> str:
    """Name and pid of the process on `port`, as far as this user may see."""
    for process in psutil.process_iter():
        try:
            connections = process.net_connections("tcp")
            if any(connection.laddr and connection.laddr[1] == port for connection in connections):
                return f"{process.name()} (pid {process.pid})"
        except psutil.Error:  # gone meanwhile, or another user's
            continue
    return "another user's process"
