"""Claims on control as a table, on a real Kafka: everyone sees the same, and a bad write takes nothing away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from structlog.testing import capture_logs

from common.clock import ManualClock
from common.contracts import CONTROL, ApiKey, ControlKind, Scope
from common.errors import TryLater
from common.kafka.control import ControlTable
from common.kafka.producer import Message, Producer
from common.settings import KafkaSettings

SECONDS = count(1_700_000_000_000, 1_000)


def a_key(entry_id: str, name: str = "name") -> ApiKey:
    return ApiKey(id=entry_id, name=name, scopes=(Scope.READ,), secret_sha256="", created_at=0)


def names(table: ControlTable) -> dict[str, str]:
    return {entry.value.id: entry.value.name for entry in table.of(ApiKey)}


@asynccontextmanager
async def following(settings: KafkaSettings, producer: Producer) -> AsyncIterator[ControlTable]:
    table = ControlTable(settings, producer, ManualClock(0))
    try:
        await table.start()
        yield table
    finally:
        await table.stop()


async def write(producer: Producer, *entries: tuple[bytes, bytes | None]) -> None:
    """Raw entries, one after the other, each a second later: time enough for Kafka to begin another segment."""
    for key, value in entries:
        await producer.publish(CONTROL, [Message(key, value, next(SECONDS))])


async def test_a_write_is_read_back_when_it_is_answered(fresh_kafka, producer) -> None:
    """Whoever wrote sees it; its version is its offset."""
    async with following(fresh_kafka, producer) as table:
        versions = [await table.put(ControlKind.KEY, "k", a_key("k", name)) for name in ("first", "second")]
        entry = table.get(ControlKind.KEY, "k", ApiKey)
    assert entry.value == a_key("k", "second")
    assert entry.version == versions[1] > versions[0]


async def test_a_start_reads_everything_that_was_there(fresh_kafka, producer) -> None:
    """A process that comes late knows as much as the others, before it answers anyone."""
    async with following(fresh_kafka, producer) as table:
        for n in range(50):
            await table.put(ControlKind.KEY, f"k{n % 20}", a_key(f"k{n % 20}", f"name {n}"))
        await table.put(ControlKind.KEY, "k3", None)
        expected = names(table)
    async with following(fresh_kafka, producer) as late:
        assert names(late) == expected
    assert len(expected) == 19


async def test_two_tables_converge(fresh_kafka, producer, eventually) -> None:
    """Both write, and in the end both hold the same, entries and versions."""
    async with following(fresh_kafka, producer) as one, following(fresh_kafka, producer) as other:
        await asyncio.gather(
            *(
                table.put(ControlKind.KEY, f"k{n % 3}", a_key(f"k{n % 3}", f"{n}"))
                for n in range(9)
                for table in (one, other)
            )
        )
        await eventually(lambda: one.next_offset == other.next_offset)
        assert one._entries == other._entries
        assert len(names(one)) == 3


async def test_a_deleted_entry_is_gone_everywhere(fresh_kafka, producer, eventually) -> None:
    async with following(fresh_kafka, producer) as one, following(fresh_kafka, producer) as other:
        await one.put(ControlKind.KEY, "k", a_key("k"))
        await eventually(lambda: "k" in names(other))
        await one.put(ControlKind.KEY, "k", None)
        assert one.get(ControlKind.KEY, "k", ApiKey) is None
        await eventually(lambda: "k" not in names(other))


GARBAGE = {
    "no JSON": b"{",
    "no UTF-8": b'"\xff"',
    "another type": b"[]",
    "a field too few": b'{"id":"k"}',
    "nested too deeply": b'{"x":' + b"[" * 100_000,
    "nothing": b"",
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_is_passed_over_and_the_former_entry_stays(fresh_kafka, producer, name) -> None:
    """A bad write must not take a key away, nor end the following."""
    async with following(fresh_kafka, producer) as table:
        await table.put(ControlKind.KEY, "k", a_key("k"))
        with capture_logs() as lines:
            await write(producer, (b"key/k", GARBAGE[name]))
            await table.put(ControlKind.KEY, "after", a_key("after"))
        assert table.get(ControlKind.KEY, "k", ApiKey).value == a_key("k")
        assert [line["id"] for line in lines if line["event"] == "control_entry_unreadable"] == ["k"]
        assert table.problem() is None


@pytest.mark.parametrize("key", [b"", b"key", b"/", b"\xff/x", b"of-a-newer-service/x"])
async def test_entries_that_are_not_ours_are_passed_over(fresh_kafka, producer, key) -> None:
    """A newer service may keep here what an older one knows nothing of."""
    async with following(fresh_kafka, producer) as table:
        await write(producer, (key, b"{}"), (key, None))
        await table.put(ControlKind.KEY, "k", a_key("k"))
        assert names(table) == {"k": "name"}


async def test_an_entry_of_another_type_is_none(fresh_kafka, producer) -> None:
    class Other(msgspec.Struct):
        pass

    async with following(fresh_kafka, producer) as table:
        await table.put(ControlKind.KEY, "k", a_key("k"))
        assert table.get(ControlKind.KEY, "k", Other) is None
        assert list(table.of(Other)) == []


async def test_an_empty_topic_is_an_empty_table(fresh_kafka, producer) -> None:
    async with following(fresh_kafka, producer) as table:
        assert names(table) == {}
        assert table.problem() is None


async def test_a_kafka_that_is_away_is_tried_later_and_may_be_tried_again(producer) -> None:
    """A start that failed leaves nothing behind that would be in the way of the next."""
    nowhere = KafkaSettings(kafka_bootstrap="127.0.0.1:1", kafka_timeout_ms=1000)
    table = ControlTable(nowhere, producer, ManualClock(0))
    for _ in range(2):
        with pytest.raises(TryLater):
            await table.start()
    assert table.problem() is not None
    await table.stop()


@pytest.fixture
async def compacting(fresh_kafka, admin: AIOKafkaAdminClient) -> AsyncIterator[KafkaSettings]:
    """Settings under which control is compacted at once."""
    settings = fresh_kafka.model_copy(update={"topic_prefix": fresh_kafka.topic_prefix + "compacting."})
    config = {
        "cleanup.policy": "compact",
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.0",
        "delete.retention.ms": "0",
    }
    topic = NewTopic(settings.topic_prefix + CONTROL, num_partitions=1, replication_factor=1, topic_configs=config)
    await admin.create_topics([topic])
    await admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", {"log.cleaner.backoff.ms": "100"})])
    yield settings
    await admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", {"log.cleaner.backoff.ms": "15000"})])


async def test_a_start_passes_over_what_compaction_took(compacting, eventually) -> None:
    """Offsets with nothing behind them, tombstones last: it reads what is left, and does not wait for the rest."""
    producer = Producer(compacting)
    await producer.start()
    keys = [f"k{n % 4}" for n in range(24)]
    await write(
        producer, *((f"key/{id_}".encode(), msgspec.json.encode(a_key(id_, str(n)))) for n, id_ in enumerate(keys))
    )
    await write(producer, (b"key/k0", None))

    async def compacted() -> bool:
        await write(producer, (b"key/k1", None))  # Kafka compacts only what is behind the newest messages
        return len(await offsets_of(compacting)) < 12

    await eventually(compacted)
    async with asyncio.timeout(60), following(compacting, producer) as table:
        assert names(table) == {"k2": "22", "k3": "23"}
        await table.put(ControlKind.KEY, "k4", a_key("k4"))
    await producer.stop()


async def offsets_of(settings: KafkaSettings) -> list[int]:
    """The offsets that control still has."""
    async with AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, enable_auto_commit=False) as consumer:
        tp = TopicPartition(settings.topic_prefix + CONTROL, 0)
        consumer.assign([tp])
        await consumer.seek_to_beginning(tp)
        end, found = (await consumer.end_offsets([tp]))[tp], []
        while await consumer.position(tp) < end:
            found += [entry.offset for entry in (await consumer.getmany(tp, timeout_ms=200)).get(tp, ())]
        return found


async def test_a_start_passes_over_an_end_that_holds_no_message(fresh_kafka, producer) -> None:
    """A transaction's marker has an offset too, and is no entry."""
    other = AIOKafkaProducer(bootstrap_servers=fresh_kafka.kafka_bootstrap, transactional_id="test")
    async with other, other.transaction():
        await other.send(fresh_kafka.topic_prefix + CONTROL, msgspec.json.encode(a_key("k")), b"key/k")
    async with asyncio.timeout(60), following(fresh_kafka, producer) as table:
        assert names(table) == {"k": "name"}
