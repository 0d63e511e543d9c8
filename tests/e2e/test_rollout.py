"""The release before and today's code side by side, on one log and the same stores: rolled out under load, and back.

`tests/releases` has the code of the release before; it runs with today's locked packages. Records with a field of a
later version lie in the log meanwhile.
"""

import asyncio
import json
import os
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition

from common.bootstrap import ensure_first_key
from common.contracts import RECORDS, Stream
from common.kafka.producer import Message, Producer
from common.kafka.topics import ensure_topics
from common.settings import KafkaSettings
from localstack.free_ports import on_free_ports
from localstack.profile import Profile
from localstack.services import services
from localstack.testing import Stack, running_servers

pytestmark = pytest.mark.long

ROOT: Final = Path(__file__).parents[2]
(FORMER,) = (ROOT / "tests/releases").iterdir()
PARTS: Final = ("libs", "services", "services/query-api")
NAMES: Final = ("documents", "aggregates", "scan", "notifier", "ingest", "query_api")
PARTITIONS = 2
BATCH = 10
SIGNAL_EVERY = 10
PAUSE_S = 0.2
WITHIN_S = 120


class Code:
    """Which code each instance runs: a link to a folder that has it, looked at when a process starts."""

    def __init__(self, folder: Path) -> None:
        self._links = folder
        self.former, self.today = folder / "former", ROOT
        with tarfile.open(FORMER) as archive:
            archive.extractall(self.former, filter="data")

    def switch(self, instance: str, code: Path) -> None:
        """From its next start on."""
        link = self._links / instance
        link.unlink(missing_ok=True)
        link.symlink_to(code)

    def path(self, instance: str) -> str:
        """PYTHONPATH, which comes before what is installed."""
        return os.pathsep.join(str(self._links / instance / part) for part in PARTS)

    def runs(self, instance: str) -> Path:
        """Where a process of this instance would take its code from."""
        told = subprocess.run(
            [sys.executable, "-c", "import common.contracts as c; print(c.__file__)"],
            env={**os.environ, "PYTHONPATH": self.path(instance)},
            capture_output=True,
            text=True,
            check=True,
        )
        return Path(told.stdout.strip()).resolve().parents[2]


@dataclass
class Deployment:
    """One of every service in each of two instances."""

    stack: Stack
    code: Code
    profiles: dict[str, Profile] = field(default_factory=dict)

    def names(self, instance: str) -> list[str]:
        return [f"{name.replace('_', '-')}-{instance}" for name in NAMES]

    async def start(self, instance: str, code: Path) -> None:
        """Beside those that are there."""
        profile = self.stack.profile
        if self.profiles:
            shared = {name: profile.ports[name] for name in ("kafka", "mongo", "redis")}
            profile = on_free_ports(profile)
            profile = replace(profile, ports={**profile.ports, **shared})
        self.profiles[instance] = profile
        self.code.switch(instance, code)
        told = {"TWINSTREAM_INSTANCE": instance, "PYTHONPATH": self.code.path(instance)}
        await self.stack.supervisor.start(
            [
                replace(
                    process,
                    name=f"{process.name}-{instance}",
                    log=process.log.with_stem(f"{process.log.stem}-{instance}"),
                    environment={**process.environment, **told},
                )
                for process in services(profile, NAMES)
            ]
        )

    async def stop(self, instance: str) -> None:
        """In good order, one service after the other."""
        for name in self.names(instance):
            await self.stack.stop(name)

    async def again(self, instance: str) -> None:
        """Start what was stopped."""
        await asyncio.gather(*map(self.stack.start, self.names(instance)))


@dataclass
class Clients:
    """Who sends and reads all the while; a replica that takes no connection is passed over, all else is a failure."""

    deployment: Deployment
    http: httpx.AsyncClient
    sent: list[str] = field(default_factory=list)
    over: bool = False

    async def call(self, service: str, method: str, path: str, **options: Any) -> Any:
        for attempt in count():
            profiles = list(self.deployment.profiles.values())
            profile = profiles[(len(self.sent) // BATCH + attempt) % len(profiles)]
            try:
                answer = await self.http.request(method, profile.url(service) + path, **options)
            except httpx.ConnectError:
                assert attempt < 2 * len(profiles), "no replica answers"
                continue
            assert answer.is_success, answer.text
            return answer.json()
        return None

    async def write(self) -> None:
        batch = [f"b-{len(self.sent) + n}" for n in range(BATCH)]
        await self.call("ingest", "POST", "/v1/streams/b/records", json=[a_b(id_) for id_ in batch])
        self.sent.extend(batch)

    async def read(self) -> None:
        assert (await self.call("query_api", "GET", "/v1/b/b-0"))["text"] == a_b("b-0")["text"]
        assert (await self.call("query_api", "GET", "/v1/counts/b", params={"hours": 1}))["count"] > 0
        assert (await self.call("query_api", "GET", "/v1/a/p/b", params={"limit": 5}))["items"]

    async def again_and_again(self, once: Callable[[], Awaitable[None]]) -> None:
        while not self.over:
            await once()
            await asyncio.sleep(PAUSE_S)


@pytest_asyncio.fixture
async def deployment(tmp_path: Path) -> AsyncIterator[Deployment]:
    """The release before, alone."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TWINSTREAM_DRAIN_MS", "5000")  # as long as a client may be busy elsewhere on this machine
        for server in ("KAFKA", "MONGO", "REDIS"):
            patched.setenv(f"TWINSTREAM_{server}_TIMEOUT_MS", "30000")
        async with running_servers(tmp_path / "home") as stack:
            settings = KafkaSettings(kafka_bootstrap=stack.kafka_bootstrap)
            await ensure_topics(settings, partitions=PARTITIONS)
            await ensure_first_key(settings, stack.profile.key_file)
            deployment = Deployment(stack, Code(tmp_path))
            await deployment.start("1", deployment.code.former)
            yield deployment


@pytest_asyncio.fixture
async def clients(deployment: Deployment, receiver: Any) -> AsyncIterator[Clients]:
    """Of a deployment that is known to do what they expect of it."""
    key = deployment.stack.profile.key_file.read_text(encoding="ascii").strip()
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=60) as http:
        clients = Clients(deployment, http)
        target = {"name": "ops", "kind": "webhook", "url": receiver.url}
        receiver.secret = (await clients.call("query_api", "POST", "/v1/destinations", json=target))["secret"]
        rule = {"name": "zebras", "keywords": ["zebra"], "destinations": ["ops"]}
        await clients.call("query_api", "POST", "/v1/rules", json=rule)
        async with asyncio.timeout(WITHIN_S):
            for attempt in count():  # a rule is in force some moments after it was made
                tried = a_b(f"try-{attempt}", text=f"a zebra {attempt}")
                await clients.call("ingest", "POST", "/v1/streams/b/records", json=[tried])
                await asyncio.sleep(0.3)
                if receiver.told():
                    break
        await clients.write()
        await all_found(clients)
        yield clients


async def test_two_releases_work_side_by_side_and_either_way(
    deployment: Deployment, clients: Clients, receiver: Any
) -> None:
    """What either took in is found, counted and told of once by both; what neither knows yet disturbs none."""
    code = deployment.code
    assert code.runs("1") == code.former
    load = [asyncio.ensure_future(clients.again_and_again(one)) for one in (clients.write, clients.read)]
    try:
        await deployment.start("2", code.today)
        assert code.runs("2") == code.today
        later = await of_a_later_version(deployment, "beside")
        await deployment.stop("1")
        later += await of_a_later_version(deployment, "after")
        await deployment.again("1")  # who goes back finds what the newer one has written
        for task in load:
            assert not task.done(), task.result()
        clients.over = True
        await asyncio.gather(*load)
    finally:
        for task in load:
            task.cancel()
        await asyncio.gather(*load, return_exceptions=True)
    clients.sent += later
    await all_found(clients)
    await each_counted_once(clients)
    await each_told_once(clients, receiver)


def a_b(id_: str, text: str = "") -> dict[str, Any]:
    """Every tenth has a signal."""
    _, _, number = id_.partition("-")
    planted = id_.startswith("b-") and int(number) % SIGNAL_EVERY == 0
    words = text or (f"{id_} and a zebra" if planted else id_)
    return {"unique_identifier": id_, "Stream_A_unique_identifier": "p", "number": 1, "text": words}


async def of_a_later_version(deployment: Deployment, name: str) -> list[str]:
    """Records with a field and a header that neither release knows, as a later `ingest` would write them."""
    now_us, ids = time.time_ns() // 1000, [f"{name}-{n}" for n in range(BATCH)]
    added = {"event_time": now_us // 1000, "ingested_at": now_us, "channel": {"of": 1}}
    messages = [
        Message(id_.encode(), json.dumps(a_b(id_) | added).encode(), now_us // 1000, [("later", b"1")]) for id_ in ids
    ]
    producer = Producer(KafkaSettings(kafka_bootstrap=deployment.stack.kafka_bootstrap))
    await producer.start()
    try:
        await producer.publish(RECORDS[Stream.B], messages)
    finally:
        await producer.stop()
    return ids


async def all_found(clients: Clients) -> None:
    """By every replica that is there."""
    async with asyncio.timeout(WITHIN_S):
        for profile in clients.deployment.profiles.values():
            for start in range(0, len(clients.sent), 1000):
                ids = clients.sent[start : start + 1000]
                while await texts(clients, profile, ids) != [a_b(id_)["text"] for id_ in ids]:
                    await asyncio.sleep(0.2)


async def texts(clients: Clients, profile: Profile, ids: Sequence[str]) -> list[str | None]:
    answer = await clients.http.post(profile.url("query_api") + "/v1/b/lookup", json={"ids": ids})
    return [one and one["text"] for one in answer.json()["items"]]


async def each_counted_once(clients: Clients) -> None:
    """Ids, and every message of the log, by both."""
    partitions = [TopicPartition("records.b", number) for number in range(PARTITIONS)]
    async with AIOKafkaConsumer(bootstrap_servers=clients.deployment.stack.kafka_bootstrap) as consumer:
        messages = sum((await consumer.end_offsets(partitions)).values())
    for profile in clients.deployment.profiles.values():

        async def counted(unit: str, url: str = profile.url("query_api")) -> int:
            answer = await clients.http.get(f"{url}/v1/counts/b", params={"hours": 2, "unit": unit})
            return int(answer.json()["count"])

        async with asyncio.timeout(WITHIN_S):
            while await counted("events") < messages:
                await asyncio.sleep(0.2)
        # Those that tried the rule are ids of their own, each sent once, and so is everything else.
        assert [await counted("events"), await counted("items")] == [messages, messages]


async def each_told_once(clients: Clients, receiver: Any) -> None:
    """By one message, whichever release found it and whichever sent it."""
    planted = {id_ for id_ in clients.sent if "zebra" in a_b(id_)["text"]}

    def told() -> Counter[str]:
        return Counter(id_ for records in receiver.told().values() for id_ in records if id_.startswith("b-"))

    async with asyncio.timeout(WITHIN_S):
        while not planted <= set(told()):
            await asyncio.sleep(0.2)
    assert told() == Counter(planted)
