"""What the operating system says of a process: CPU seconds and memory."""

from typing import NamedTuple

import psutil


class Usage(NamedTuple):
    """CPU seconds used since the start, user and system, and resident bytes now; children included."""

    cpu_s: float
    rss_bytes: int

    def since(self, before: "Usage") -> "Usage":
        """CPU since `before`; memory as of now."""
        return Usage(self.cpu_s - before.cpu_s, self.rss_bytes)


def usage(pid: int) -> Usage:
    """What `pid` and its children use."""
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    times = [member.cpu_times() for member in family]
    return Usage(sum(t.user + t.system for t in times), sum(member.memory_info().rss for member in family))
