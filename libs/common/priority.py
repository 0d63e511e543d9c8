"""How a process gives way to others: those that people wait for come first.

A nice value counts among the processes of one session only, where the kernel shares out the processor between sessions
first (autogroup, sched(7)): there, a session has a value of its own.
"""

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

_SESSION: Final = "/proc/self/autogroup"
_LEAST: Final = 19
_OF_SESSION: Final = 15  # a thirtieth of what another session has, while that has work: none starves for good
_TRIES: Final = 5
_NOT_MORE_OFTEN_THAN_S: Final = 0.11  # the kernel lets a session without privileges be told of no oftener, sched(7)


def give_way(niceness: int) -> None:
    """Be so much nicer than before; so is the session, where this process leads one."""
    os.nice(niceness)
    if os.getsid(0) == os.getpid():
        with suppress(OSError), open(_SESSION, "wb", buffering=0) as session:  # noqa: PTH123  # as it is, without buffers
            session.write(str(niceness).encode())


def stepping_back() -> Callable[[], None]:
    """What makes this process run only while no other wants the processor, nor the disk; it leads a session.

    It is prepared while files can be opened still, and called before threads are started: these take after the one
    that starts them.
    """
    try:
        session = os.open(_SESSION, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:  # there are no such groups
        session = -1

    def step_back() -> None:
        os.nice(_LEAST)
        if sys.platform == "linux":
            with suppress(OSError):
                os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        if session >= 0:
            _tell(session, _OF_SESSION)
            os.close(session)

    return step_back


def _tell(session: int, niceness: int) -> None:
    for _ in range(_TRIES):
        try:
            os.write(session, str(niceness).encode())
        except BlockingIOError:
            time.sleep(_NOT_MORE_OFTEN_THAN_S)
        except OSError:
            return
        else:
            return
