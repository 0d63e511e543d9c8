"""Every client of ours on servers with TLS and passwords: the log's, the documents', and Redis' as a cluster."""

import asyncio
import secrets
from functools import partial
from typing import Any

import pytest

from auditing.documents import Documents
from common.bootstrap import ensure_given_key
from common.clock import ManualClock, SystemClock
from common.contracts import CONTROL, RECORDS, ControlKind, RecordA, Stream, Version
from common.errors import Refused
from common.kafka.batches import Partition
from common.kafka.control import ControlTable
from common.kafka.follower import Follower
from common.kafka.group_offsets import GroupOffsets
from common.kafka.producer import Message, Producer
from common.kafka.replay import Replay
from common.kafka.topics import check_topics, count_partitions
from common.process import until_available
from documents.store import DocumentStore
from documents.versions import Upsert
from ingest.idempotency import Given, IdempotencyKeys, Keyed, Reservation
from query_api.store import Store
from throttling.minutes import Usage
from throttling.throttle import Throttle
from windows.access import check_redis
from windows.connection import Connection

NOW_MS = 1_795_420_800_000


class AtStart:
    """Where the log has a record."""

    offset, timestamp, key, value, headers = 0, NOW_MS, b"", b"", ()


async def read_all(settings: Any, topic: str) -> set[bytes]:
    """The keys of everything in a topic's first partition, by a replay."""
    replay = Replay(settings)
    await replay.start()
    try:
        start, stop = await replay.bounds(Partition(topic, 0))
        keys: set[bytes] = set()
        while start < stop:
            entries = await replay.read(Partition(topic, 0), start, 1000)
            keys |= {entry.key for entry in entries if entry.key}
            start = entries[-1].offset + 1 if entries else start
        return keys
    finally:
        await replay.stop()


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "PLAIN"])
async def test_the_log_is_written_and_read_by_whoever_logs_in(secured: Any, mechanism: str) -> None:
    """Producer, control, replay, follower, the group's offsets and the topics: each client logs in for itself."""
    settings = secured.settings(kafka_sasl_mechanism=mechanism)
    producer = Producer(settings)
    await producer.start()
    control = ControlTable(settings, producer, SystemClock())
    follower, offsets = Follower(settings, RECORDS[Stream.A]), GroupOffsets(settings, "nobody")
    try:
        await check_topics(settings)
        await control.start()
        key = secrets.token_hex(8)
        await control.put(ControlKind.SILENCE, key, None)
        assert control.next_offset > 0
        assert f"{ControlKind.SILENCE}/{key}".encode() in await read_all(settings, CONTROL)
        await producer.publish(RECORDS[Stream.A], [Message(b"a", b"{}", NOW_MS)])
        await follower.start()
        assert sum(stop - start for start, stop in (await follower.bounds()).values()) > 0
        assert await count_partitions(settings, RECORDS[Stream.A]) == 2
        looking = partial(offsets.read, [Partition(RECORDS[Stream.A], 0)])
        assert await until_available(looking, asyncio.Event()) == {}  # Kafka makes its own topic first
    finally:
        for part in (follower, offsets, control, producer):
            await part.stop()


async def test_the_first_key_is_made_by_who_logs_in(secured: Any) -> None:
    """As `twinstream init` does it, the same settings found in the same places."""
    token = f"tsk_{secrets.token_hex(6)}_{secrets.token_hex(32)}"
    assert await ensure_given_key(secured.profile.kafka_settings(), token)
    assert not await ensure_given_key(secured.profile.kafka_settings(), token)


async def test_documents_are_written_and_read_by_a_user_of_one_database(secured: Any) -> None:
    """Indexes, upserts, positions and lookups with the role readWrite, and no other."""
    settings = secured.settings()
    writing, reading = DocumentStore(settings), Store(settings)
    try:
        await writing.prepare()
        id_ = secrets.token_hex(8)
        record = RecordA(id=id_, number=1, text="t", event_time=NOW_MS, ingested_at=NOW_MS * 1000)
        upsert = Upsert(record, Version(NOW_MS, NOW_MS * 1000, 7), NOW_MS, AtStart())
        assert await writing.upsert(Stream.A, [upsert]) == []
        await reading.check()
        assert list(await reading.find(Stream.A, [id_])) == [id_]
        async with Documents(settings, Stream.A, "test") as audited:
            assert list(await audited.find([id_])) == [id_]
    finally:
        await writing.close()
        await reading.close()


@pytest.fixture
async def connection(secured: Any) -> Any:
    connection = Connection(secured.settings())
    yield connection
    await connection.close()


async def test_keys_of_every_node_are_found_and_deleted(secured: Any, connection: Connection) -> None:
    """Through the certificate of each: nodes name each other by the address that it is for."""
    await check_redis(secured.settings())
    prefix = secrets.token_hex(4)
    names = [f"{prefix}:{n}" for n in range(700)]
    assert set(await connection.pipelined([("SET", name, name) for name in names])) <= {b"OK", True}
    assert await connection.pipelined([("GET", name) for name in names]) == [name.encode() for name in names]
    assert await connection.delete_matching(f"{prefix}:*") == len(names)
    assert await connection.delete_matching(f"{prefix}:*") == 0


async def test_idempotency_keys_lie_on_every_node(secured: Any) -> None:
    """Each script touches one key: reserved, answered, released, whichever node has it."""
    keys = IdempotencyKeys(secured.settings(redis_prefix=secrets.token_hex(4)), ManualClock(NOW_MS))
    try:
        for n in range(30):
            request = Keyed("caller", f"k{n}", "f", n)
            held = await keys.reserve(request)
            assert isinstance(held, Reservation)
            await keys.release(held)
            again = await keys.reserve(request)
            assert isinstance(again, Reservation)
            await keys.finish(again, Given(202, "application/json", b"{}"))
            assert await keys.reserve(request) == Given(202, "application/json", b"{}")
    finally:
        await keys.close()


async def test_limits_hold_over_replicas_on_a_cluster(connection: Connection) -> None:
    """Many callers at once, whose counts lie on different nodes."""
    prefix, clock = secrets.token_hex(4), ManualClock(NOW_MS)
    first, second = (Throttle(Usage(10, 1_000), connection, prefix, clock) for _ in range(2))
    callers = [f"caller-{n}" for n in range(20)]
    for caller in callers:
        for _ in range(10):
            first.admit(caller, 1)
    await first.agree()
    for caller in callers:
        second.admit(caller, 1)
    await second.agree()
    for caller in callers:
        with pytest.raises(Refused, match="rate_limited"):
            second.admit(caller, 1)
