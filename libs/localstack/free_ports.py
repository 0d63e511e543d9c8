"""Ports for tests: free, and kept for whoever asked, however many runs of tests there are on the machine."""

import random
import socket
import sys
from dataclasses import replace
from itertools import islice
from typing import Final, TypeVar

from localstack.profile import HOST, Profile

P = TypeVar("P", bound=Profile)

_SELDOM_USED: Final = range(15_000, 32_000)  # below those that systems hand out to clients


def free_port() -> int:
    """One of `free_ports`."""
    return free_ports(1)[0]


def free_ports(count: int, and_above: int = 0) -> list[int]:
    """Ports that nothing listens on, ours until this process ends; those that are `and_above` each likewise."""
    candidates = random.SystemRandom().sample(_SELDOM_USED, len(_SELDOM_USED))
    free = (port for port in candidates if _took(port) and (not and_above or _took(port + and_above)))
    return list(islice(free, count))


def on_free_ports(profile: P) -> P:
    """The same profile on ports of its own."""
    return replace(profile, ports=dict(zip(profile.ports, free_ports(len(profile.ports)), strict=True)))


def _took(port: int) -> bool:
    """Whether the port was free until now.

    On Linux it stays bound. A server can listen on it all the same, for it asks to use the address again; the system
    gives it to no client, and another run of tests, which looks for a free one as we do, is refused.
    """
    bound = socket.socket()
    try:
        bound.bind((HOST, port))
    except OSError:
        bound.close()
        return False
    if sys.platform == "linux":
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.detach()
    else:
        bound.close()
    return True
