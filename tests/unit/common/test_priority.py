"""A process gives way among all sessions, where the kernel shares the processor out between these first."""

import json
import os
import subprocess
import sys

import pytest

TELL = """
import json, os
from pathlib import Path
session = Path("/proc/self/autogroup")
group = int(session.read_text().split()[-1]) if session.exists() else None
print(json.dumps([os.sched_getscheduler(0) == os.SCHED_IDLE, os.nice(0), group]))
"""


@pytest.mark.parametrize(
    ("deed", "leads", "told"),
    [
        ("stepping_back()()", "leads", (True, 19, 15)),
        ("give_way(7)", "leads", (False, 7, 7)),
        ("give_way(7)", "follows", (False, 7, 0)),
    ],
)
def test_a_process_gives_way(deed: str, leads: str, told: tuple[bool, int, int]) -> None:
    """To the least when it steps back; who leads no session leaves the session alone."""
    command = [sys.executable, "-c", f"from common.priority import *\n{deed}\n{TELL}"]
    if leads == "follows":
        command = [sys.executable, "-c", f"import subprocess; subprocess.run({command!r}, check=True)"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=True)  # noqa: S603
    idle, niceness, of_session = json.loads(ran.stdout)
    assert (idle, niceness) == (told[0], min(19, os.nice(0) + told[1]))
    assert of_session in {told[2], None}
