"""The real servers of the local default: what they keep, and what they come back from."""

import asyncio
from collections.abc import AsyncIterator

import psutil
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from pymongo import AsyncMongoClient, UpdateOne, WriteConcern
from pymongo.errors import PyMongoError
from redis.asyncio import Redis

from common.contracts import DAY_MS
from common.kafka.topics import ensure_topics, list_topics
from common.settings import KafkaSettings
from localstack.free_ports import on_free_ports
from localstack.jars import fetch, locked
from localstack.servers import servers
from localstack.testing import Stack, running_servers

TOPIC = "records.a"
SERVERS = ("kafka", "valkey", "mongo")
DURABLE = WriteConcern(w="majority", j=True)


@pytest_asyncio.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Servers that these tests may kill: others have theirs."""
    async with running_servers(tmp_path_factory.mktemp("stack")) as stack:
        await ensure_topics(KafkaSettings(kafka_bootstrap=stack.kafka_bootstrap), partitions=1)
        yield stack


async def write(stack: Stack, word: str) -> None:
    """`word` to each server, acknowledged."""
    async with AIOKafkaProducer(bootstrap_servers=stack.kafka_bootstrap, acks="all") as producer:
        await producer.send_and_wait(TOPIC, word.encode())
    async with Redis.from_url(stack.redis_url) as redis:
        await redis.set(word, word)
    async with AsyncMongoClient(stack.mongo_uri) as mongo:
        await mongo.test.get_collection("words", write_concern=DURABLE).insert_one({"_id": word})


async def holds(stack: Stack, word: str) -> dict[str, bool]:
    """Which servers still have it."""
    partition = TopicPartition(TOPIC, 0)
    options = {"bootstrap_servers": stack.kafka_bootstrap, "auto_offset_reset": "earliest"}
    async with asyncio.timeout(60), AIOKafkaConsumer(enable_auto_commit=False, **options) as consumer:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        found = []
        while len(found) < end:
            found.extend((await consumer.getmany(partition, timeout_ms=1000)).get(partition, []))
    async with Redis.from_url(stack.redis_url) as redis:
        key = await redis.get(word)
    async with AsyncMongoClient(stack.mongo_uri) as mongo:
        document = await mongo.test.words.find_one({"_id": word})
    return {
        "kafka": word.encode() in [message.value for message in found],
        "valkey": key == word.encode(),
        "mongo": document == {"_id": word},
    }


async def test_no_record_of_long_ago_is_taken_from_a_test(stack: Stack) -> None:
    """Kafka looks for what retention takes at moments of its own, in the midst of whichever test it is."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka_bootstrap)
    await admin.start()
    try:
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, "1")])
    finally:
        await admin.close()
    ((*_, entries),) = answer.resources
    told = {name: value for name, value, *_ in entries}
    looks = [int(told[name]) for name in ("log.initial.task.delay.ms", "log.retention.check.interval.ms")]
    assert min(looks) >= DAY_MS


async def test_data_survive_a_kill(stack: Stack) -> None:
    """What was acknowledged is there after a kill -9 of every server, and each comes back by itself."""
    await write(stack, "killed")
    for name in SERVERS:
        stack.kill(name)
    for name in SERVERS:
        await stack.restarted(name)
    assert await holds(stack, "killed") == dict.fromkeys(SERVERS, True)


async def test_data_survive_restarts_in_good_order_and_a_move_to_other_ports(stack: Stack) -> None:
    """As after Ctrl-C and the next `make up`; a port that someone else took meanwhile costs a setting, not the data."""
    await write(stack, "moved")
    for name in reversed(SERVERS):
        await stack.stop(name)
    elsewhere = Stack(on_free_ports(stack.profile))
    try:
        await elsewhere.supervisor.start(servers(elsewhere.profile, fetch(locked())))
        assert not set(elsewhere.profile.ports.values()) & set(stack.profile.ports.values())
        assert await holds(elsewhere, "moved") == dict.fromkeys(SERVERS, True)
    finally:
        await elsewhere.supervisor.stop()
    for name in SERVERS:
        await stack.start(name)
    assert await holds(stack, "moved") == dict.fromkeys(SERVERS, True)


async def test_a_killed_secantusdb_loses_no_acknowledged_write(stack: Stack) -> None:
    """Bulk upserts by pipeline with j: true, as documents writes them, cut off in their midst."""
    acknowledged: list[int] = []
    enough = asyncio.Event()

    async def keep_writing() -> None:
        async with AsyncMongoClient(stack.mongo_uri, serverSelectionTimeoutMS=500) as mongo:
            collection = mongo.test.get_collection("journal", write_concern=DURABLE)
            for first in range(0, 1_000_000, 50):
                ids = range(first, first + 50)
                stages = [{"$set": {"number": {"$ifNull": ["$number", 1]}, "text": "x" * 200}}]
                await collection.bulk_write([UpdateOne({"_id": n}, stages, upsert=True) for n in ids], ordered=False)
                acknowledged.extend(ids)
                if len(acknowledged) >= 1_000:
                    enough.set()

    writing = asyncio.create_task(keep_writing())
    async with asyncio.timeout(60):
        await enough.wait()
    await stack.crash("mongo")
    with pytest.raises(PyMongoError):
        await writing
    await stack.start("mongo")
    async with AsyncMongoClient(stack.mongo_uri) as mongo:
        kept = {document["_id"] async for document in mongo.test.journal.find({}, {"_id": 1})}
    assert set(acknowledged) - kept == set()


async def test_a_suspended_server_hangs_until_it_is_resumed(stack: Stack) -> None:
    """Its connections stay open, which tests of timeouts need."""
    async with Redis.from_url(stack.redis_url) as redis:
        await redis.ping()
        stack.suspend("valkey")
        answer = asyncio.create_task(redis.ping())
        done, _ = await asyncio.wait({answer}, timeout=0.2)
        assert not done
        stack.resume("valkey")
        assert await answer


async def test_servers_listen_on_loopback_only(stack: Stack) -> None:
    """They ask nobody for a password."""
    addresses = {
        connection.laddr.ip
        for name in SERVERS
        for connection in psutil.Process(stack.supervisor.child(name).pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses <= {"127.0.0.1", "::ffff:127.0.0.1"}


async def test_kafka_makes_no_topic_by_itself(stack: Stack) -> None:
    """A misspelt name is an error, not a topic with the wrong settings."""
    settings = KafkaSettings(kafka_bootstrap=stack.kafka_bootstrap)
    async with AIOKafkaConsumer(bootstrap_servers=stack.kafka_bootstrap) as consumer:
        consumer.assign([TopicPartition("records.aa", 0)])
        await consumer.getmany(timeout_ms=200)
    assert "records.aa" not in await list_topics(settings)


async def test_kafka_takes_the_longest_message(stack: Stack) -> None:
    """As long as our settings allow one to be."""
    settings = KafkaSettings()
    async with AIOKafkaProducer(
        bootstrap_servers=stack.kafka_bootstrap, max_request_size=settings.max_message_bytes
    ) as producer:
        await producer.send_and_wait(TOPIC, b"x" * (settings.max_message_bytes - 1024))
