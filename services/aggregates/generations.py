"""Which generation of a stream's windows is in force: made at the first start, replaced by a rebuild."""

import msgspec
import structlog

from aggregates.settings import AggregatesSettings
from common.contracts import RECORDS, Stream
from common.errors import CannotStart
from common.kafka.topics import count_partitions
from windows.connection import Connection
from windows.counts import read_layout
from windows.layout import HOUR_MS, Generation, Layout, generation_key

log = structlog.get_logger()


def wanted(settings: AggregatesSettings, number: int, partitions: int) -> Generation:
    """The generation that the settings ask for."""
    return Generation(
        number=number,
        shards=settings.window_shards,
        partitions=partitions,
        horizon_ms=settings.window_horizon_hours * HOUR_MS,
    )


async def ensure_layout(connection: Connection, settings: AggregatesSettings, stream: Stream) -> Layout:
    """The layout in force, made when there is none.

    Raises:
        TryLater: Redis or Kafka is away.
        CannotStart: the topic has other partitions than the windows were filled from.
    """
    partitions = await count_partitions(settings, RECORDS[stream])
    fresh = wanted(settings, 0, partitions)
    key = generation_key(settings.redis_prefix, stream)
    await connection.pipelined([("SET", key, msgspec.json.encode(fresh), "NX")])
    layout = await read_layout(connection, settings.redis_prefix, stream)
    if layout is None or layout.generation.partitions != partitions:
        raise CannotStart(
            f"The windows of stream {stream.upper()} were filled from another number of partitions than the "
            f"{partitions} there are: `twinstream rebuild aggregates` fills them anew."
        )
    if layout.generation != wanted(settings, layout.generation.number, partitions):
        log.warning("settings_await_rebuild", stream=stream, in_force=msgspec.to_builtins(layout.generation))
    return layout
