"""The composition root of an audit of the lake: log, documents and windows, each held against one state of it.

First the state; then, once they are where it is, what the others say; then what the log has behind it, which may be in
the others already. What is left is the lake's own to answer for.
"""

import asyncio
import random
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from auditing.documents import Documents
from auditing.report import Compared, exit_status, tell
from common.clock import SystemClock
from common.contracts import RECORDS, Stream
from common.errors import TryLater
from common.kafka.replay import Replay
from common.kafka.topics import count_partitions
from lake.audit.against_documents import AgainstDocuments
from lake.audit.against_log import AgainstLog
from lake.audit.against_windows import AgainstWindows
from lake.audit.sides import Side, look
from lake.audit.since import read_since
from lake.audit.state import LakeState
from lake.modesty import be_modest
from lake.scratch import scratch
from lake.settings import AuditSettings
from twinstream_lake.catalog import Catalog
from twinstream_lake.engine import Engine
from twinstream_lake.pins import pin
from windows.connection import Connection
from windows.counts import Counts

SERVICE: Final = "lake-audit"


@dataclass(frozen=True)
class Parts:
    """What an audit asks: the tables, the log and the windows."""

    catalog: Catalog
    engine: Engine
    replay: Replay
    counts: Counts


async def run(settings: AuditSettings, _stop: asyncio.Event) -> None:
    """Audit both streams once; exits with 1 when anything drifted, with 3 when something could not be compared.

    Raises:
        TryLater: the lake or the log is away.
    """
    be_modest()
    catalog, replay, connection = Catalog.of_local_files(settings), Replay(settings), Connection(settings)
    async with AsyncExitStack() as stack:
        stack.callback(catalog.close)
        stack.push_async_callback(replay.stop)
        stack.push_async_callback(connection.close)
        engine = Engine(settings.lake_memory_mb, stack.enter_context(scratch()))
        await replay.start()
        parts = Parts(catalog, engine, replay, Counts(connection, settings.redis_prefix, SystemClock()))
        found = [one for stream in Stream for one in await audit_stream(settings, stream, parts)]
    for one in found:
        tell(one)
    status = exit_status(drift=any(one.drift for one in found), left_out=any(one.left_out for one in found))
    if status:
        sys.exit(status)


async def audit_stream(settings: AuditSettings, stream: Stream, parts: Parts) -> list[Compared]:
    """Compare one stream's tables with everything else.

    Raises:
        TryLater: the lake or the log is away.
    """
    partitions = await count_partitions(settings, RECORDS[stream])
    pinned = await asyncio.to_thread(pin, parts.catalog, stream)
    state = LakeState(stream, pinned, parts.engine)
    written = await asyncio.to_thread(state.written)
    chance = random.Random()  # noqa: S311  # a sample, no secret
    with_log = await AgainstLog(state, parts.replay, chance).run(written, settings.lake_audit_ids)
    async with Documents(settings, stream, SERVICE) as documents:
        sides: list[Side] = [
            AgainstDocuments(state, documents, settings.lake_audit_ids),
            AgainstWindows(state, parts.counts, written, SystemClock()),
        ]
        left_out = [await look(side, state, settings.lake_audit_patience_seconds) for side in sides]
        return [with_log, *await _compare(state, sides, left_out, parts.replay, partitions)]


async def _compare(
    state: LakeState, sides: Sequence[Side], left_out: Sequence[str | None], replay: Replay, partitions: int
) -> list[Compared]:
    """Hold the state against the sides that could be looked at."""
    try:
        since = await read_since(replay, state.stream, state.positions, partitions)
    except TryLater as unknown:
        return [Compared(state.stream, side.between, 0, left_out=str(unknown)) for side in sides]
    finally:
        replay.rest()
    return [
        Compared(state.stream, side.between, 0, left_out=why) if why else await side.compare(since)
        for side, why in zip(sides, left_out, strict=True)
    ]
