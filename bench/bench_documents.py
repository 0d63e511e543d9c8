"""Documents: taking in a full topic, against a bare loop of the same bulk writes; CPU of the worker, memory, disk."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from harness.figures import Figure, figure
from harness.product import PARTITIONS, Product, running_product
from pymongo import AsyncMongoClient, UpdateOne, WriteConcern
from spine_workload import messages

from common.contracts import RECORDS, Collections, RecordB, Stream, position_id, version_of
from common.kafka.batches import Logged
from common.kafka.producer import Message, Producer
from common.settings import KafkaSettings, MongoSettings
from documents.store import INDEXES
from documents.versions import Upsert
from documents.writes import guarded

ROUNDS = 5
RECORDS_A_ROUND = 20_000
WRITES_PER_CALL, CALLS_AT_ONCE = 250, 1  # as the worker's on one machine
DEADLINE_S = 300.0


class Taken(NamedTuple):
    """How fast records were stored, and at what price, per million records."""

    per_second: float
    cpu_s: float  # of whoever writes
    server_cpu_s: float


async def run(*, quick: bool) -> list[Figure]:
    rounds, count = (1, 4_000) if quick else (ROUNDS, RECORDS_A_ROUND)
    encoded = messages(count)
    async with running_product([]) as product, AsyncMongoClient[dict[str, Any]](product.stack.mongo_uri) as client:
        await fill(product, encoded)
        writes = [_write(message) for message in encoded]
        before = product.disk_bytes("mongo")
        pairs = [
            (await taken_in(product, client, count), await bare_loop(product, client, writes)) for _ in range(rounds)
        ]
        disk = (product.disk_bytes("mongo") - before) / (2 * rounds * count)
    ours, bare = [one for one, _ in pairs], [one for _, one in pairs]
    ratios = [one.cpu_s / other.cpu_s for one, other in pairs]
    return [
        figure("taken in", "records/s", [one.per_second for one in ours]),
        figure("a bare loop of the same writes", "records/s", [one.per_second for one in bare]),
        figure("taken in, of a bare loop", "ratio", [o.per_second / b.per_second for o, b in pairs]),
        figure("the worker", "CPU s/million", [one.cpu_s for one in ours], better="lower"),
        figure("the bare loop", "CPU s/million", [one.cpu_s for one in bare], better="lower"),
        figure("CPU of the worker / of the bare loop", "ratio", ratios, better="lower", aim=2.0),
        figure("the server", "CPU s/million", [one.server_cpu_s for one in ours], better="lower"),
        figure("disk, stored and dropped again", "bytes/record", [disk], better="lower"),
    ]


async def fill(product: Product, encoded: Sequence[Message]) -> None:
    producer = Producer(KafkaSettings(kafka_bootstrap=product.stack.kafka_bootstrap))
    await producer.start()
    for start in range(0, len(encoded), 10_000):
        await producer.publish(RECORDS[Stream.B], encoded[start : start + 10_000])
    await producer.stop()


async def taken_in(product: Product, client: Any, count: int) -> Taken:
    """Start the worker on an empty database and wait until it is through; its start is not counted."""
    stack, database = product.stack, await emptied(client)
    if "documents" in stack.supervisor.states():
        await stack.start("documents")
    else:
        await stack.start_services(["documents"])
    first, started, deadline = 0, 0.0, time.perf_counter() + DEADLINE_S
    while (done := await position(database)) < count:
        if done and not first:
            first, started = done, time.perf_counter()
            before, server = product.usage("documents"), product.usage("mongo")
        if time.perf_counter() > deadline:
            raise TimeoutError(f"{done} of {count} records are stored")
        await asyncio.sleep(0.02)
    seconds, stored = time.perf_counter() - started, count - first
    cpu_s = product.usage("documents").since(before).cpu_s
    server_cpu_s = product.usage("mongo").since(server).cpu_s
    await stack.stop("documents")
    return Taken(stored / seconds, cpu_s / stored * 1e6, server_cpu_s / stored * 1e6)


async def bare_loop(product: Product, client: Any, writes: Sequence[UpdateOne]) -> Taken:
    """The driver handed the same writes, made beforehand, in calls of the same size, as many at once."""
    collection = (await emptied(client))["b"]
    starts = iter(range(0, len(writes), WRITES_PER_CALL))

    async def some() -> None:
        for start in starts:
            await collection.bulk_write(writes[start : start + WRITES_PER_CALL], ordered=False)

    server, cpu, started = product.usage("mongo"), time.process_time(), time.perf_counter()
    await asyncio.gather(*(some() for _ in range(CALLS_AT_ONCE)))
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    server_cpu_s = product.usage("mongo").since(server).cpu_s
    million = len(writes) / 1e6
    return Taken(len(writes) / seconds, cpu_s / million, server_cpu_s / million)


async def emptied(client: Any) -> Any:
    """The database with nothing in it but the indexes."""
    name = MongoSettings().mongo_database
    await client.drop_database(name)
    database = client.get_database(name, write_concern=WriteConcern("majority", j=True))
    await database["b"].create_indexes(INDEXES[Stream.B])
    return database


async def position(database: Any) -> int:
    """How many records the positions have passed."""
    ids = [position_id(RECORDS[Stream.B], number) for number in range(PARTITIONS)]
    found = await database[Collections.POSITIONS].find({"_id": {"$in": ids}}).to_list()
    return sum(one["offset"] for one in found)


def _write(message: Message) -> UpdateOne:
    record = msgspec.json.decode(message.value or b"", type=RecordB)
    return guarded(Upsert(record, version_of(record), record.event_time, Logged(0, message.key, message.value)))
