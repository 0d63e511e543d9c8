"""Claims on the whole process while its servers go and come back: nothing is skipped, and it says how it is."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from structlog.testing import capture_logs

from common.contracts import RecordA
from common.kafka.producer import Message, Producer
from common.settings import KafkaSettings, MongoSettings
from documents.settings import DocumentsSettings
from documents.wiring import run
from localstack.claims import Claims
from localstack.free_ports import free_port, on_free_ports
from localstack.profile import Profile
from localstack.servers import mongo
from localstack.testing import Stack

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
HEADERS = [("traceparent", f"00-{TRACE_ID}-b7ad6b7169203331-01".encode())]


@pytest_asyncio.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A server of MongoDB's protocol alone, for tests to do as they like with; each leaves it running."""
    stack = Stack(on_free_ports(Profile(tmp_path_factory.mktemp("mongo"))))
    with Claims(stack.profile.run).held():
        await stack.supervisor.start([mongo(stack.profile)])
        yield stack
        await stack.end()


@pytest.fixture
def own_mongo(stack: Stack) -> MongoSettings:
    """A database of the test's own on it."""
    return MongoSettings(mongo_uri=stack.mongo_uri, mongo_database=secrets.token_hex(4), mongo_timeout_ms=2000)


@asynccontextmanager
async def running(
    kafka: KafkaSettings, mongo: MongoSettings, stops_within_s: float = 60
) -> AsyncIterator[httpx.AsyncClient]:
    """The process but for its interpreter; gives a client of its metrics port."""
    port = free_port()
    settings = DocumentsSettings(
        **kafka.model_dump(), **mongo.model_dump(exclude=set(kafka.model_dump())), documents_metrics_port=port
    )
    stop = asyncio.Event()
    process = asyncio.create_task(run(settings, stop))
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            yield http
    finally:
        stop.set()
        await asyncio.wait_for(process, stops_within_s)


async def send(producer: Producer, numbers: range, event_time: int = 1) -> None:
    await producer.publish(
        "records.a",
        [Message(f"x{n}".encode(), msgspec.json.encode(a_record(f"x{n}", n, event_time)), 1, HEADERS) for n in numbers],
    )


def a_record(record_id: str, number: float, event_time: int) -> RecordA:
    return RecordA(id=record_id, number=number, text="secret", event_time=event_time, ingested_at=1)


async def stored(settings: MongoSettings) -> dict[str, tuple[float, int]]:
    """Number and event time by id; nothing while the server is away."""
    async with AsyncMongoClient[dict[str, Any]](settings.mongo_uri.get_secret_value(), timeoutMS=1000) as client:
        try:
            documents = await client[settings.mongo_database].a.find().to_list()
        except PyMongoError:
            return {}
    return {one["_id"]: (one["number"], one["event_time"]) for one in documents}


async def test_a_server_that_is_killed_in_the_middle_loses_nothing(
    stack, own_mongo, fresh_kafka, producer, eventually
) -> None:
    """Every record is there in its newest version once the server is back; meanwhile the process says what it lacks."""
    async with running(fresh_kafka, own_mongo) as http:
        await send(producer, range(400))

        async def some_are_stored() -> bool:
            return bool(await stored(own_mongo))

        await eventually(some_are_stored)
        await stack.crash("mongo")
        await send(producer, range(200, 600), event_time=2)
        await eventually(lambda: _says(http, 503))
        await stack.start("mongo")

        async def all_are_stored() -> bool:
            expected = {f"x{n}": (float(n), 1 if n < 200 else 2) for n in range(600)}
            return await stored(own_mongo) == expected

        await eventually(all_are_stored)
        await eventually(lambda: _says(http, 200))


async def test_a_server_that_hangs_is_waited_out(stack, own_mongo, fresh_kafka, producer, eventually) -> None:
    """Its connections stay open and nothing answers: a call ends in time, and comes again."""
    async with running(fresh_kafka, own_mongo) as http:
        await eventually(lambda: _ready(http))
        stack.suspend("mongo")
        await send(producer, range(10))

        async def says_so() -> bool:
            return "MongoDB" in (await http.get("/readyz")).text

        await eventually(says_so)
        stack.resume("mongo")

        async def all_are_stored() -> bool:
            return len(await stored(own_mongo)) == 10

        await eventually(all_are_stored)


async def test_it_stops_in_time_while_its_server_hangs(stack, own_mongo, fresh_kafka, eventually) -> None:
    """Whoever supervises does not wait for a store that answers nothing, not even a farewell."""
    async with running(fresh_kafka, own_mongo, stops_within_s=20) as http:
        await eventually(lambda: _ready(http))
        stack.suspend("mongo")
    stack.resume("mongo")


async def _ready(http: httpx.AsyncClient) -> bool:
    return await _says(http, 200)


async def _says(http: httpx.AsyncClient, status: int) -> bool:
    try:
        return (await http.get("/readyz")).status_code == status
    except httpx.TransportError:
        return False


async def test_servers_and_the_process_may_start_in_any_order(
    stack, own_mongo, fresh_kafka, producer, eventually
) -> None:
    """It waits for its store, and says that it is not ready, instead of dying."""
    await send(producer, range(3))
    await stack.crash("mongo")
    with capture_logs() as lines:
        async with running(fresh_kafka, own_mongo) as http:

            async def waits() -> bool:
                return any(line["event"] == "waiting" for line in lines)

            await eventually(waits)
            assert (await http.get("/readyz")).status_code == 503
            assert (await http.get("/healthz")).status_code == 200
            await stack.start("mongo")
            await eventually(lambda: _ready(http))

            async def all_are_stored() -> bool:
                return len(await stored(own_mongo)) == 3

            await eventually(all_are_stored)


async def test_a_server_that_lost_everything_is_filled_again(fresh_kafka, fresh_mongo, producer, eventually) -> None:
    """Nobody restarts the process, and not one new record arrives: it notices by itself."""
    async with running(fresh_kafka, fresh_mongo):
        await send(producer, range(20))

        async def all_are_stored() -> bool:
            return len(await stored(fresh_mongo)) == 20

        await eventually(all_are_stored)
        async with AsyncMongoClient[dict[str, Any]](fresh_mongo.mongo_uri.get_secret_value()) as client:
            await client.drop_database(fresh_mongo.mongo_database)
        await eventually(all_are_stored)


async def test_a_trace_is_followed_into_the_last_line_and_no_text_is(
    fresh_kafka, fresh_mongo, producer, eventually
) -> None:
    """One line per batch says what was applied and which requests it came from; records' texts stay out of logs."""
    with capture_logs() as lines:
        async with running(fresh_kafka, fresh_mongo):
            await send(producer, range(5))

            async def applied() -> bool:
                return sum(line.get("records", 0) for line in lines if line["event"] == "batch_applied") == 5

            await eventually(applied)
    line = next(line for line in lines if line["event"] == "batch_applied")
    assert (line["topic"], line["traces"], line["traces_total"]) == ("records.a", [TRACE_ID], 1)
    assert "secret" not in str(lines)


async def test_the_metrics_port_tells_of_the_work(fresh_kafka, fresh_mongo, producer, eventually) -> None:
    """What the live line, the dashboards and the alerts read."""
    async with running(fresh_kafka, fresh_mongo) as http:
        await send(producer, range(5))

        async def told() -> bool:
            try:
                page = (await http.get("/metrics")).text
            except httpx.TransportError:
                return False
            return all(
                name in page
                for name in (
                    'twinstream_records_applied_total{outcome="applied",service="documents",stream="a"}',
                    'twinstream_consumer_lag{partition="0",service="documents",topic="records.a"} 0.0',
                    'twinstream_store_seconds_count{operation="upsert",service="documents"}',
                    'twinstream_record_age_seconds_count{service="documents",stream="a"}',
                    'twinstream_apply_batch_records_count{service="documents"}',
                )
            )

        await eventually(told)
