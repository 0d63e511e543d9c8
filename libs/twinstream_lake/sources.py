"""What a rebuild reads before Kafka: nothing, or the lake. Imports of the lake's own only what is asked for."""

import asyncio
from contextlib import AsyncExitStack

from common.contracts import Stream
from common.errors import CannotStart
from common.kafka.history import Past
from common.settings import RebuildSettings


async def past_of(settings: RebuildSettings, stream: Stream, stack: AsyncExitStack) -> Past | None:
    """The lake's log of `stream`, pinned, if a rebuild is to read it; closed with `stack`.

    Raises:
        CannotStart: this installation cannot read the lake, or its files are elsewhere.
        TryLater: the lake is away, or has no tables yet.
    """
    if settings.rebuild_from == "log":
        return None
    try:
        from twinstream_lake.past import LakePast  # noqa: PLC0415  # an image that rebuilds from the log lacks its drivers
    except ImportError as error:
        raise CannotStart(f"A rebuild from the lake needs the extra `lake`: {error}") from error
    past = await asyncio.to_thread(LakePast, settings, stream)
    stack.callback(past.close)
    await asyncio.to_thread(past.pin)
    return past
