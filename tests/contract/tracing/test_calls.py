"""Calls to real servers as an exporter of traces is told of them: which, where, how many at once, and no content."""

import secrets
from collections.abc import Iterator

import pytest
from pymongo.errors import OperationFailure, ServerSelectionTimeoutError

from common import spans
from common.contracts import ALERTS
from common.errors import TryLater
from common.kafka.producer import Message, Producer
from common.kafka.topics import ensure_topics
from common.mongo import client_of
from common.settings import KafkaSettings, MongoSettings, RedisSettings
from windows.connection import Connection, script_of

SECRET = secrets.token_hex(8)
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def told() -> Iterator[list[spans.Span]]:
    """What a listener is told of work in hand."""
    found: list[spans.Span] = []
    spans.listen(found.append)
    spans.begin_batch([f"00-{TRACE}-b7ad6b7169203331-01".encode()])
    yield found
    spans.listen(None)
    assert {(span.trace_id, span.kind) for span in found} <= {(TRACE, spans.Kind.CLIENT)}
    assert SECRET not in str(found)


async def test_commands_to_mongodb(told: list[spans.Span], fresh_mongo: MongoSettings) -> None:
    """By their names, with database and collection, and how many documents one wrote; one that fails says how."""
    async with client_of(fresh_mongo, "tests") as client:
        database = client[fresh_mongo.mongo_database]
        await database["a"].insert_many([{"_id": f"{SECRET}-{n}"} for n in range(3)])
        assert await database["a"].find({}, batch_size=2).to_list()
        with pytest.raises(OperationFailure):
            await database["a"].aggregate([{"$nothing": SECRET}])
    commands = [(span.name, span.failed) for span in told if span.name != "endSessions"]  # as the driver leaves
    assert commands == [("insert a", False), ("find a", False), ("getMore a", False), ("aggregate a", True)]
    about = told[0].attributes
    assert (about["db.system.name"], about["db.namespace"]) == ("mongodb", fresh_mongo.mongo_database)
    assert (about["db.operation.batch.size"], about["server.address"]) == (3, "127.0.0.1")
    assert told[3].attributes["error.type"]


async def test_a_client_that_nobody_listens_to_has_no_listener(fresh_mongo: MongoSettings) -> None:
    """The driver looks after nothing then."""
    async with client_of(fresh_mongo, "tests") as client:
        assert not client._event_listeners.enabled_for_commands
        assert await client[fresh_mongo.mongo_database]["a"].count_documents({}) == 0


async def test_round_trips_to_redis(told: list[spans.Span], fresh_redis: RedisSettings) -> None:
    """One for all that goes out together, a script by its call; none for nothing."""
    connection, key = Connection(fresh_redis), f"{fresh_redis.redis_prefix}k"
    try:
        await connection.pipelined([])
        await connection.pipelined([("SET", key, SECRET)])
        await connection.pipelined([("GET", key), ("GET", key)])
        await connection.pipelined([("GET", key), ("DEL", key)])
        await connection.run(script_of("return ARGV[1]"), {key: SECRET.encode()})
    finally:
        await connection.close()
    assert [span.name for span in told][:3] == ["SET", "PIPELINE GET", "PIPELINE"]
    assert {span.name for span in told[3:]} == {"EVALSHA"}
    assert told[1].attributes["db.operation.batch.size"] == 2
    assert {span.attributes["db.system.name"] for span in told} == {"redis"}


async def test_writes_to_kafka(told: list[spans.Span], fresh_kafka: KafkaSettings) -> None:
    """By their topic, without the prefix; how many messages where there are several."""
    await ensure_topics(fresh_kafka, partitions=1)
    producer = Producer(fresh_kafka)
    await producer.start()
    try:
        await producer.publish(ALERTS, [Message(b"a", SECRET.encode(), 1)])
        await producer.publish(ALERTS, [Message(b"a", b"1", 1), Message(b"b", b"2", 1)])
    finally:
        await producer.stop()
    assert [span.name for span in told] == ["send alerts", "send alerts"]
    assert [span.attributes.get("messaging.batch.message_count") for span in told] == [None, 2]


async def test_a_server_that_is_away_is_a_failure(told: list[spans.Span], unused_tcp_port: int) -> None:
    """Of Redis' call; MongoDB's driver sends no command where it finds no server."""
    connection = Connection(RedisSettings(redis_url=f"redis://127.0.0.1:{unused_tcp_port}/0"))
    with pytest.raises(TryLater):
        await connection.pipelined([("GET", "k")])
    await connection.close()
    away = MongoSettings(mongo_uri=f"mongodb://127.0.0.1:{unused_tcp_port}/", mongo_timeout_ms=200)
    async with client_of(away, "tests") as client:
        with pytest.raises(ServerSelectionTimeoutError):
            await client["x"]["a"].find_one({})
    (span,) = told
    assert (span.name, span.failed) == ("GET", True)
    assert span.attributes["error.type"]
