"""The rows of a log table are the messages of its topic, each once, whatever happens to its writers."""

import asyncio
import os
import random
import sys
from dataclasses import dataclass, replace

import pyarrow as pa
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from common.clock import SystemClock
from common.contracts import RECORDS, REJECTED, Stream
from common.errors import CannotStart, Reposition
from common.kafka.producer import Message, Producer
from lake.writer.log_table import LogTable
from lake.writer.rows import read
from localstack.free_ports import free_port
from twinstream_lake.layout import GAPS, POSITIONS, decode_positions


@dataclass(frozen=True)
class Tombstone:
    """A message of the log."""

    offset: int
    key: bytes = b"x"
    value: None = None
    timestamp: int = 86_400_000
    headers: tuple[()] = ()


def batch(first: int) -> pa.RecordBatch:
    """The rows of ten messages of partition 0, from an offset on."""
    return read(Stream.B, 0, [Tombstone(first + n) for n in range(10)]).batch


def table(lake) -> LogTable:
    table = LogTable(lake.catalog, Stream.B)
    table.prepare()
    return table


async def test_both_streams_arrive_and_positions_with_them(lake, feed, record, eventually) -> None:
    """Every version and every tombstone is a row; the positions say what is in."""
    await feed.send(Stream.A, [record(Stream.A, "x"), record(Stream.A, "x", number=2.0), "x"])
    await feed.send(Stream.B, [record(Stream.B, f"b{n}") for n in range(300)])
    table(lake)
    async with feed.writing():
        await eventually(lambda: lake.count() == 300)
        await eventually(lambda: lake.count("a_log") == 3)
    assert [(row["number"], row["erased"]) for row in lake.rows("a_log")] == [(1, False), (2, False), (None, True)]
    assert lake.places() == await feed.everything("records.b")
    b_log = lake.catalog.load("b_log")
    positions = decode_positions(b_log.properties[POSITIONS])
    assert sum(positions.values()) == 300
    assert decode_positions(b_log.current_snapshot().summary[POSITIONS]) == positions
    assert GAPS not in b_log.properties


async def test_a_writer_goes_on_where_the_table_is(lake, feed, record, eventually) -> None:
    """And commits what is pending before it ends."""
    table(lake)
    for start in (0, 12, 24):
        await feed.send(Stream.B, [record(Stream.B, f"b{n}") for n in range(start, start + 12)])
        async with feed.writing(lake_commit_rows=10, lake_commit_seconds=60.0):
            await eventually(lambda start=start: lake.count() >= start + 10)
    assert lake.places() == await feed.everything("records.b")


async def test_what_is_no_record_is_put_aside(lake, feed, eventually) -> None:
    """Its bytes go to records.rejected, the position past it, even when nothing else came."""
    await feed.producer.publish(RECORDS[Stream.A], [Message(b"k", b"{", SystemClock().now_ms())])
    table(lake)
    async with feed.writing():
        await eventually(lambda: POSITIONS in lake.catalog.load("a_log").properties)
    consumer = AIOKafkaConsumer(
        feed.settings.topic_prefix + REJECTED,
        bootstrap_servers=feed.settings.kafka_bootstrap,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    aside = await asyncio.wait_for(consumer.getone(), 60)
    await consumer.stop()
    assert (aside.value, lake.count("a_log")) == (b"{", 0)


async def test_two_writers_at_once_write_each_row_once(lake, feed, record, eventually) -> None:
    """Nobody should run two; when it happens, one of each two commits is refused and its writer asks anew."""
    table(lake)
    hasty = {"lake_commit_rows": 50, "lake_commit_seconds": 0.1}
    async with feed.writing(**hasty), feed.writing(**hasty):
        for wave in range(15):
            await feed.send(Stream.B, [record(Stream.B, f"{wave}-{n}") for n in range(40)])
        await eventually(lambda: lake.count() >= 600, 60)
    assert lake.places() == await feed.everything("records.b")


def test_a_zombie_that_wakes_up_late_adds_nothing(lake) -> None:
    """It read the table before another writer went past it, and tries to commit after."""
    zombie, other = table(lake), table(lake)
    assert zombie.positions() == other.positions() == {}
    other.append([batch(0)], {}, {0: 10})
    with pytest.raises(Reposition):
        zombie.append([batch(0)], {}, {0: 10})
    assert zombie.positions() == {0: 10}
    other.append([batch(10)], {0: 10}, {0: 20})
    with pytest.raises(Reposition):
        zombie.append([batch(10)], {0: 10}, {0: 20})
    assert [row["kafka_offset"] for row in lake.rows()] == list(range(20))


def test_a_commit_of_maintenance_in_between_does_not_hold_up(lake) -> None:
    """The table has moved, its positions have not: the same rows go on top of the new state."""
    writer = table(lake)
    writer.positions()
    writer.append([batch(0)], {}, {0: 10})
    lake.catalog.load("b_log").delete("kafka_offset < 5")
    writer.append([batch(10)], {0: 10}, {0: 20})
    assert [row["kafka_offset"] for row in lake.rows()] == list(range(5, 20))


async def test_another_log_is_refused(lake, feed) -> None:
    """Offsets that begin anew would be taken for rows that are there already."""
    full = table(lake)
    full.positions()
    full.append([batch(0)], {}, {0: 10})
    with pytest.raises(CannotStart, match="another log"):
        async with feed.writing() as work:
            await asyncio.wait({work}, timeout=60)


async def test_partitions_that_a_topic_is_given_are_read_too(lake, feed, record, eventually) -> None:
    await feed.send(Stream.B, [record(Stream.B, f"before-{n}") for n in range(20)])
    table(lake)
    async with feed.writing():
        await eventually(lambda: lake.count() == 20)
        admin = AIOKafkaAdminClient(bootstrap_servers=feed.settings.kafka_bootstrap)
        await admin.start()
        topic = feed.settings.topic_prefix + "records.b"
        await admin.create_partitions({topic: NewPartitions(total_count=5)})
        await admin.close()
        producer = Producer(feed.settings)  # one that knows of them
        await producer.start()
        await replace(feed, producer=producer).send(Stream.B, [record(Stream.B, f"after-{n}") for n in range(50)])
        await producer.stop()
        await eventually(lambda: lake.count() == 70)
    assert {row["kafka_partition"] for row in lake.rows()} == {0, 1, 2, 3, 4}


async def test_kill_9_at_random_moments_loses_and_doubles_nothing(lake, feed, record, eventually) -> None:
    """As a process of its own, killed in the middle of whatever it does, twice over."""
    chance = random.Random(7)
    environment = {
        **os.environ,
        "TWINSTREAM_KAFKA_BOOTSTRAP": feed.settings.kafka_bootstrap,
        "TWINSTREAM_TOPIC_PREFIX": feed.settings.topic_prefix,
        "TWINSTREAM_LAKE_CATALOG_URI": feed.settings.lake_catalog_uri.get_secret_value(),
        "TWINSTREAM_LAKE_WAREHOUSE": feed.settings.lake_warehouse,
        "TWINSTREAM_LAKE_COMMIT_ROWS": "20",
        "TWINSTREAM_LAKE_COMMIT_SECONDS": "0.1",
        "TWINSTREAM_LAKE_WRITER_METRICS_PORT": str(free_port()),
    }
    over = asyncio.Event()

    async def sending() -> None:
        wave = 0
        while not over.is_set():
            await feed.send(Stream.B, [record(Stream.B, f"{wave}-{n}") for n in range(10)])
            wave += 1
            await asyncio.sleep(0.02)

    table(lake)
    task = asyncio.create_task(sending())
    for _ in range(2):
        before = lake.count()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "lake.writer", env=environment, stderr=asyncio.subprocess.DEVNULL
        )
        await eventually(lambda before=before: lake.count() > before)
        await asyncio.sleep(chance.random() * 0.3)
        process.kill()
        await process.wait()
    over.set()
    await task
    expected = await feed.everything("records.b")
    async with feed.writing():
        await eventually(lambda: lake.count() >= len(expected))
    assert lake.places() == expected
