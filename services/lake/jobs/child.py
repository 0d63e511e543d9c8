"""Runs one query that a stranger wrote: `python -m lake.jobs.child`, told what on its standard input.

It first gives up all it does not need, while it still is one thread: a thread that is there already would keep what the
others give up. Even what DuckDB let through then would find nothing to write to.
"""

import os
import resource
import sys
from typing import Final

import msgspec

from common.priority import give_way, stepping_back
from lake.jobs.confinement import confine
from lake.jobs.frames import Kind, Task, send

# Half a second of the processor: less than what people wait for, and soon over on a busy machine all the same.
_AT_THE_START: Final = 5


def main() -> None:
    """Run the task on standard input; frames go to standard output."""
    give_way(_AT_THE_START)
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    step_back = stepping_back()
    held = confine(
        reading=task.files,
        owning=task.spill,
        user=task.user,
        limits={
            resource.RLIMIT_AS: task.address_space_mb * 1024 * 1024,
            resource.RLIMIT_FSIZE: task.spill_mb * 1024 * 1024,
            resource.RLIMIT_CPU: task.cpu_seconds,
        },
    )
    if os.getppid() != task.worker:
        sys.exit("the worker ended before the kernel was told to end this with it")
    from lake.jobs.query import answer  # noqa: PLC0415  # its libraries start threads of their own

    if task.steps_back:
        step_back()  # what is our own came first: it is short, and on a busy machine a question would not even begin
    ended = answer(task, sys.stdout.buffer)
    send(sys.stdout.buffer, Kind.END, msgspec.json.encode(msgspec.structs.replace(ended, confinement=held)))


if __name__ == "__main__":
    main()
