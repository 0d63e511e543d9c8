"""Taking what the others leave: the lake's processes give way to those that people wait for."""

from typing import Final

import pyarrow as pa

from common.priority import give_way

_NICENESS: Final = 10


def be_modest() -> None:
    """Yield the processor to every other process, and work on one thread."""
    give_way(_NICENESS)
    pa.set_cpu_count(1)
    pa.set_io_thread_count(2)
