"""Taking what the others leave: the lake's processes give way to those that people wait for."""

import os
from typing import Final

import pyarrow as pa

_NICENESS: Final = 10


def be_modest() -> None:
    """Yield the processor to every other process, and work on one thread."""
    os.nice(_NICENESS)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(2)
