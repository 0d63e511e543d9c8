"""All workers of today in one process, over a corner of the servers; what they make of it, in the form that is kept."""

import asyncio
import json
import runpy
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from bson import json_util
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

import aggregates.settings
import aggregates.wiring
import documents.settings
import documents.wiring
import lake.settings
import lake.writer.wiring
import signals.notifier.settings
import signals.notifier.wiring
import signals.scan.settings
import signals.scan.wiring
from common.clock import ManualClock, SystemClock
from common.concurrency import all_of
from common.contracts import Collections, Stream, partition_of
from common.health import Health
from common.kafka.producer import Message, Producer
from common.settings import KafkaSettings, LakeSettings, MongoSettings, RedisSettings
from twinstream_lake.catalog import Catalog
from twinstream_lake.layout import NAMESPACE, log_name, log_partitions, log_schema

ROOT = Path(__file__).parents[3]
FORMATS = runpy.run_path(str(ROOT / "tools/formats.py"))
PARTITIONS = FORMATS["PARTITIONS"]
WITHIN_S = 60.0
WORKERS = (
    (documents.wiring.assembled, documents.settings.DocumentsSettings),
    (aggregates.wiring.assembled, aggregates.settings.AggregatesSettings),
    (signals.scan.wiring.assembled, signals.scan.settings.ScanSettings),
    (signals.notifier.wiring.assembled, signals.notifier.settings.NotifierSettings),
    (lake.writer.wiring.assembled, lake.settings.WriterSettings),
)
COLLECTIONS = ("a", "b", Collections.REJECTED, Collections.ALERTS, Collections.DELIVERIES, Collections.POSITIONS)
PASSING = {"claimed_by", "claimed_until"}  # whose hands a delivery is in

Line = dict[str, Any]
Dump = list[Line]


@dataclass(frozen=True)
class Deployment:
    """A corner of the servers, and today's workers on it."""

    where: Mapping[str, Any]
    producer: Producer
    database: Any
    redis: Redis
    catalog: Catalog

    @property
    def token(self) -> str:
        """A key of then."""
        return str(FORMATS["TOKEN"])

    @property
    def revoked(self) -> str:
        return self.token.replace("0123456789ab", "ba9876543210")

    async def publish(self, lines: Sequence[Line]) -> None:
        """Write messages as they were kept, to their very bytes; in their order."""
        for line in lines:
            value = line["value"]
            headers = [(name, one.encode()) for name, one in line["headers"].items()]
            message = Message(line["key"].encode(), None if value is None else value.encode(), self.now_ms(), headers)
            await self.producer.publish(line["topic"], [message])

    @staticmethod
    def now_ms() -> int:
        """For Kafka drops at once what is older than it keeps."""
        return SystemClock().now_ms()

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Today's workers, at the moment at which the log was written."""
        stop, clock = asyncio.Event(), ManualClock(FORMATS["NOW_MS"])
        async with AsyncExitStack() as stack:
            parts: list[Any] = []
            for assembled, settings in WORKERS:
                found = await stack.enter_async_context(assembled(settings(**self.where), Health(), clock, stop))
                parts += found if isinstance(found, Sequence) else [found]
            work = asyncio.ensure_future(all_of([part.run(stop) for part in parts]))
            try:
                yield
            finally:
                stop.set()
                await asyncio.wait_for(work, WITHIN_S)

    async def caught_up(self, lines: Sequence[Line]) -> None:
        """Wait until every store holds what `lines` come to, and the alerts that today's scanner adds to them."""
        added = [("alerts", message.key) for message in FORMATS["alerts_of"](records_of(lines))]
        places = [(line["topic"], line["key"].encode()) for line in lines] + added
        ends = Counter(f"{topic}/{partition_of(key, PARTITIONS)}" for topic, key in places)
        records = {
            name: count for name, count in ends.items() if name.startswith("records.") and "rejected" not in name
        }
        stored = {name: count for name, count in ends.items() if not name.startswith("control/")}

        async def everywhere() -> bool:
            positions = {one["_id"]: one["offset"] async for one in self.database.positions.find()}
            rows = [len(await asyncio.to_thread(self.rows, stream)) for stream in Stream]
            return stored == positions and await self._counted() == records and sum(rows) == sum(records.values())

        await eventually(everywhere)

    async def _counted(self) -> dict[str, int]:
        found = {}
        for stream in Stream:
            key = f"{self.where['redis_prefix']}{{{stream}:00}}:pos"
            for partition, offset in (await self.redis.hgetall(key)).items():
                if partition.isdigit() and int(offset):
                    found[f"records.{stream}/{int(partition)}"] = int(offset)
        return found

    # --- in the form that is kept -----------------------------------------------------------------------------------

    async def documents(self) -> Dump:
        """What MongoDB holds, without the marks of what was erased: they go after a day."""
        found: Dump = []
        for name in COLLECTIONS:
            records = {"event_time": {"$exists": True}} if name in set(Stream) else {}
            async for one in self.database[name].find(records).sort("_id"):
                kept = {field: value for field, value in one.items() if field not in PASSING}
                extended = json_util.dumps(kept, json_options=json_util.CANONICAL_JSON_OPTIONS)
                found.append({"collection": name, "document": json.loads(extended)})
        return found

    async def windows(self) -> Dump:
        """What Redis holds; bytes stand as Latin-1 does for them. How fresh it is, is of the moment."""
        prefix = self.where["redis_prefix"]
        keys = sorted([key async for key in self.redis.scan_iter(match=f"{prefix}*")])
        found = [await self._window(key.decode(), prefix) for key in keys]
        return [one for one in found if not one["key"].endswith(":as_of")]

    async def _window(self, key: str, prefix: str) -> Line:
        kind = (await self.redis.type(key)).decode()
        reading: dict[str, Callable[[], Awaitable[Any]]] = {
            "string": lambda: self.redis.get(key),
            "hash": lambda: self.redis.hgetall(key),
            "zset": lambda: self.redis.zrange(key, 0, -1, withscores=True),
            "set": lambda: self.redis.smembers(key),
        }
        value = await reading[kind]()
        if isinstance(value, bytes):
            return {"key": key.removeprefix(prefix), "type": kind, "value": value.decode("latin-1")}
        pairs = sorted(dict(value).items()) if kind != "set" else [(one, 0) for one in sorted(value)]
        return {"key": key.removeprefix(prefix), "type": kind, "value": [[_text(a), _text(b)] for a, b in pairs]}

    def rows(self, stream: Stream) -> list[Line]:
        """What the lake's log of a stream holds, but for Kafka's own times."""
        table = self.catalog.load(log_name(stream)).scan().to_arrow().drop_columns(["kafka_timestamp"])
        rows = [{name: _text(value) for name, value in row.items()} for row in table.to_pylist()]
        return sorted(rows, key=lambda row: (row["kafka_partition"], row["kafka_offset"]))

    async def lake(self) -> Dump:
        """The lake's tables, their schemas and rows."""
        return [
            {
                "table": log_name(stream),
                "schema": json.loads(log_schema(stream).model_dump_json()),
                "rows": await asyncio.to_thread(self.rows, stream),
            }
            for stream in Stream
        ]

    # --- and back ---------------------------------------------------------------------------------------------------

    async def load(self, kept: Mapping[str, Dump]) -> None:
        """Let the stores hold what was kept; of the lake, tables as they were made then, with no row yet."""
        for line in kept["mongo.jsonl"]:
            await self.database[line["collection"]].insert_one(json_util.loads(json.dumps(line["document"])))
        for line in kept["redis.jsonl"]:
            await self._load_window(self.where["redis_prefix"] + line["key"], line["type"], line["value"])
        for line, stream in zip(kept["lake.jsonl"], Stream, strict=True):
            await asyncio.to_thread(self._make_table, line, stream)

    async def _load_window(self, key: str, kind: str, value: Any) -> None:
        pairs = [] if isinstance(value, str) else [(_bytes(a), _bytes(b)) for a, b in value]
        flat = [part for pair in pairs for part in pair]
        commands: dict[str, list[Any]] = {
            "string": ["SET", key, _bytes(value)],
            "hash": ["HSET", key, *flat],
            "zset": ["ZADD", key, *(part for member, score in pairs for part in (score, member))],
            "set": ["SADD", key, *(member for member, _ in pairs)],
        }
        await self.redis.execute_command(*commands[kind])

    def _make_table(self, line: Line, stream: Stream) -> None:
        schema = type(log_schema(stream)).model_validate(line["schema"])
        self.catalog.catalog.create_namespace_if_not_exists(NAMESPACE)
        (day,) = log_partitions(stream).fields
        place = schema.find_field("kafka_timestamp").field_id
        spec = PartitionSpec(PartitionField(place, day.field_id, day.transform, day.name))
        self.catalog.catalog.create_table((NAMESPACE, line["table"]), schema=schema, partition_spec=spec)


def records_of(lines: Sequence[Line]) -> list[tuple[Stream, Message]]:
    values = [(line, line["value"] and line["value"].encode()) for line in lines]
    streams = {f"records.{stream}": stream for stream in Stream}
    return [
        (streams[line["topic"]], Message(line["key"].encode(), value, 0))
        for line, value in values
        if line["topic"] in streams
    ]


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value.isoformat() if hasattr(value, "isoformat") else value


def _bytes(value: Any) -> Any:
    return value.encode("latin-1") if isinstance(value, str) else value


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not await condition():
            await asyncio.sleep(0.05)


def read(folder: Path) -> dict[str, Dump]:
    return {path.name: [json.loads(line) for line in path.read_text().splitlines()] for path in folder.glob("*.jsonl")}


def write(path: Path, dump: Dump) -> None:
    path.write_text("".join(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n" for line in dump))


@pytest.fixture(params=sorted(path.name for path in FORMATS["FORMATS"].iterdir()))
def kept(request: pytest.FixtureRequest) -> dict[str, Dump]:
    """What a released version wrote, by the name of the file."""
    return read(FORMATS["FORMATS"] / request.param)


@pytest.fixture
def newest() -> dict[str, Dump]:
    """What this version writes."""
    return read(FORMATS["FORMATS"] / FORMATS["VERSION"])


@pytest.fixture
def keeping(request: pytest.FixtureRequest) -> Callable[[Mapping[str, Dump]], None]:
    """Writes down what the stores come to, where that was asked for: once for each version."""

    def keep(dumps: Mapping[str, Dump]) -> None:
        of_present = request.node.callspec.params["kept"] == FORMATS["VERSION"]
        if request.config.getoption("--keep-formats") and of_present:
            for name, dump in dumps.items():
                path = FORMATS["FORMATS"] / FORMATS["VERSION"] / name
                assert not path.exists(), f"{path} was kept before"
                write(path, dump)

    return keep


@pytest_asyncio.fixture
async def deployment(
    fresh_kafka: KafkaSettings, fresh_mongo: MongoSettings, fresh_redis: RedisSettings, tmp_path: Path
) -> AsyncIterator[Deployment]:
    lakes = {
        "lake_catalog_uri": f"sqlite:///{tmp_path}/catalog.db",
        "lake_warehouse": str(tmp_path / "warehouse"),
        "lake_commit_seconds": 0.3,
    }
    for_ever = {"alerts_kept_days": 36_500, "deliveries_kept_days": 36_500, "rejected_days": 3_650}
    servers = {**fresh_kafka.model_dump(), **fresh_mongo.model_dump(), **fresh_redis.model_dump()}
    where = {**servers, **lakes, **for_ever, "secret": FORMATS["SECRET"], "query_api_port": 8000}
    producer, catalog = Producer(fresh_kafka), Catalog(LakeSettings(**where))
    await producer.start()
    redis = Redis.from_url(fresh_redis.redis_url.get_secret_value())
    async with AsyncMongoClient[dict[str, Any]](fresh_mongo.mongo_uri.get_secret_value()) as client:
        yield Deployment(where, producer, client[fresh_mongo.mongo_database], redis, catalog)
    await redis.aclose()
    await producer.stop()
    catalog.close()


@pytest.fixture
def later() -> str:
    """A name that no version has given to anything."""
    return f"later_{secrets.token_hex(3)}"
