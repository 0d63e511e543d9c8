"""Two of every process side by side, rolled out anew and killed under load: nothing is lost or doubled, no read fails.

The lake's writer and its maintenance run once, for a table has one writer; they are restarted and killed likewise.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition

from common.bootstrap import ensure_first_key
from common.kafka.topics import ensure_topics
from common.settings import KafkaSettings
from localstack.free_ports import on_free_ports
from localstack.services import services
from localstack.testing import Stack, running_servers

pytestmark = [pytest.mark.long]

TWICE: Final = ("documents", "aggregates", "scan", "notifier", "ingest", "query_api", "lake_jobs")
ONCE: Final = ("lake_writer", "lake_maintenance")
PARTITIONS = 4
BATCH = 20
SIGNAL_EVERY = 10
AT_ONCE = 3
PAUSE_S = 0.2  # of writers and readers alike: what is tested is a restart, not saturation
FOUND_WITHIN_S = 120
HELD: Final = (
    "select count(*), count(distinct kafka_partition || '/' || kafka_offset), count(distinct unique_identifier) "
    "from b_log"
)
"""What the lake holds of B: messages, different ones, ids."""
ANSWERED_WITHIN_S = 600  # a query has the processor only when nobody else wants it


class Balancer:
    """Requests in turn to every replica; one that refuses the connection is passed over, nothing else is forgiven.

    Where replicas are killed, a connection may also break in the middle: as a proxy does with what may be asked again,
    it is then asked of the next one.
    """

    def __init__(self, key: str, urls: Sequence[str]) -> None:
        self._http = httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=60)
        self._urls, self._turns = urls, count()
        self.forgives: type[httpx.TransportError] = httpx.ConnectError

    async def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        turn = next(self._turns)
        for other in range(2 * len(self._urls)):
            url = self._urls[(turn + other) % len(self._urls)]
            try:
                answer = await self._http.request(method, url + path, **options)
            except self.forgives:
                continue
            assert answer.is_success, answer.text
            return answer
        pytest.fail("no replica answers")

    async def known_to_all(self, path: str) -> None:
        """Wait until every replica has followed what one of them wrote."""
        for url in self._urls:
            async with asyncio.timeout(60):
                while not (await self._http.get(url + path)).is_success:  # it is another process's
                    await asyncio.sleep(0.05)

    async def close(self) -> None:
        await self._http.aclose()


class Replicas:
    """Two of every service on ports of their own, each with its own name in its group; the lake's writer once."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        second = on_free_ports(stack.profile)
        self._profiles = {"1": stack.profile, "2": replace(second, ports={**second.ports, **shared(stack)})}
        self.names: dict[str, list[str]] = {}

    async def start(self) -> None:
        for instance, profile in self._profiles.items():
            processes = [
                replace(
                    process,
                    name=f"{process.name}-{instance}",
                    log=process.log.with_stem(f"{process.log.stem}-{instance}"),
                    environment={**process.environment, "TWINSTREAM_INSTANCE": instance},
                )
                for process in services(profile, TWICE if instance == "2" else (*TWICE, *ONCE))
            ]
            self.names[instance] = [process.name for process in processes]
            await self._stack.supervisor.start(processes)

    async def restart(self, instance: str) -> None:
        """This one of every service, a few at once: this machine has two cores."""
        few = asyncio.Semaphore(AT_ONCE)

        async def one(name: str) -> None:
            async with few:
                await self._stack.stop(name)
                await self._stack.start(name)

        await asyncio.gather(*map(one, self.names[instance]))

    async def kill(self, instance: str) -> None:
        """This one of every service at once, without a warning."""
        for name in self.names[instance]:
            self._stack.kill(name)
        await asyncio.gather(*(self._stack.restarted(name) for name in self.names[instance]))

    def balancer(self, name: str) -> Balancer:
        key = self._stack.profile.key_file.read_text(encoding="ascii").strip()
        return Balancer(key, [profile.url(name) for profile in self._profiles.values()])


def shared(stack: Stack) -> dict[str, int]:
    """The ports of the servers, which both replicas speak to."""
    return {name: port for name, port in stack.profile.ports.items() if name in {"kafka", "mongo", "redis"}}


@dataclass
class Load:
    """Clients that send and read without a pause in the work, and what they sent."""

    ingest: Balancer
    query: Balancer
    sent: list[str] = field(default_factory=list)
    reads: int = 0
    held: list[int] = field(default_factory=list)
    """How many messages the lake said that it holds, question by question."""
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: Sequence[asyncio.Task[None]] = ()

    def begin(self) -> None:
        work: Iterable[Callable[[], Awaitable[None]]] = (self._write, self._read, self._read, self._question)
        self._tasks = [asyncio.ensure_future(self._again_and_again(one)) for one in work]

    def check(self) -> None:
        """Fail at once, not at the end."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def end(self) -> None:
        self._over.set()
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for balancer in (self.ingest, self.query):
            await balancer.close()

    async def _again_and_again(self, once: Callable[[], Awaitable[None]]) -> None:
        while not self._over.is_set():
            await once()
            await asyncio.sleep(PAUSE_S)

    async def _write(self) -> None:
        batch = [f"b-{len(self.sent) + n}" for n in range(BATCH)]
        await self.ingest("POST", "/v1/streams/b/records", json=[a_b(id_) for id_ in batch])
        self.sent.extend(batch)

    async def _read(self) -> None:
        assert (await self.query("GET", "/v1/b/first")).json()["unique_identifier"] == "first"
        assert (await self.query("GET", "/v1/a/p/b", params={"limit": 5})).json()["items"]
        assert (await self.query("GET", "/v1/counts/b", params={"hours": 1})).json()["count"] > 0
        self.reads += 3

    async def _question(self) -> None:
        """In SQL: whoever takes it up may be stopped over it, and its answer is about one moment, whichever that is."""
        ((messages, different, _),) = await rows_of(self.query, HELD)
        assert messages == different >= max(self.held, default=0)
        self.held.append(messages)


@pytest_asyncio.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(
            "TWINSTREAM_SEND_TIMEOUT_MS", "4000"
        )  # a claim of a notifier that was killed lasts half as long again
        patched.setenv("TWINSTREAM_LAKE_COMMIT_SECONDS", "1")
        patched.setenv("TWINSTREAM_DRAIN_MS", "5000")  # as long as a client may be busy elsewhere on this machine
        for server in ("KAFKA", "MONGO", "REDIS"):  # which starve while half of all processes are being started
            patched.setenv(f"TWINSTREAM_{server}_TIMEOUT_MS", "30000")
        async with running_servers(tmp_path_factory.mktemp("replicas")) as stack:
            settings = KafkaSettings(kafka_bootstrap=stack.kafka_bootstrap)
            await ensure_topics(settings, partitions=PARTITIONS)
            await ensure_first_key(settings, stack.profile.key_file)
            yield stack


@pytest_asyncio.fixture(scope="module")
async def replicas(stack: Stack) -> Replicas:
    replicas = Replicas(stack)
    await replicas.start()
    return replicas


@pytest_asyncio.fixture(scope="module")
async def load(replicas: Replicas, lasting_receiver: Any) -> AsyncIterator[Load]:
    """The clients, once the product is known to do what they expect of it."""
    load = Load(replicas.balancer("ingest"), replicas.balancer("query_api"))
    target = {"name": "ops", "kind": "webhook", "url": lasting_receiver.url}
    lasting_receiver.secret = (await load.query("POST", "/v1/destinations", json=target)).json()["secret"]
    await load.query.known_to_all("/v1/destinations/ops")
    await load.query("POST", "/v1/rules", json={"name": "zebras", "keywords": ["zebra"], "destinations": ["ops"]})
    first = await load.ingest("POST", "/v1/streams/b/records", json=[a_b("first")])
    waiting = {"wait_for": first.json()["receipt"], "timeout_ms": 30_000}
    await load.query("GET", "/v1/b/first", params=waiting)
    await load.query("GET", "/v1/counts/b", params={**waiting, "hours": 1})
    await until_told(load, lasting_receiver)
    yield load
    await load.close()


async def until_told(load: Load, receiver: Any) -> None:
    """A rule is in force some moments after it was made: until then, another record tries again."""
    async with asyncio.timeout(FOUND_WITHIN_S):
        for attempt in count():
            await load.ingest("POST", "/v1/streams/b/records", json=[a_b(f"try-{attempt}", text=f"a zebra {attempt}")])
            for _ in range(20):
                if receiver.told():
                    return
                await asyncio.sleep(0.1)


async def test_a_rollout_and_deaths_lose_nothing_double_nothing_and_fail_no_read(
    stack: Stack, replicas: Replicas, load: Load, lasting_receiver: Any
) -> None:
    """Each replica of every service is restarted, then one of each killed, while records come and are asked for."""
    load.begin()
    for instance in replicas.names:
        await replicas.restart(instance)
        load.check()
    restarted = len(load.sent)
    for balancer in (load.ingest, load.query):
        balancer.forgives = httpx.TransportError
    await replicas.kill("1")
    load.check()
    await load.end()
    assert load.held  # each was asked under restarts or deaths; on a busy machine the first is answered at the end
    assert min(restarted, len(load.sent) - restarted) > 2 * BATCH
    assert load.reads > 50
    await all_found(load.query, load.sent)
    await each_told_once(load, lasting_receiver)
    await each_counted_once(stack, load)


def a_b(id_: str, text: str = "") -> dict[str, Any]:
    """Every tenth has a signal."""
    _, _, number = id_.partition("-")
    planted = id_.startswith("b-") and int(number) % SIGNAL_EVERY == 0
    words = text or (f"{id_} and a zebra" if planted else id_)
    return {"unique_identifier": id_, "Stream_A_unique_identifier": "p", "number": 1, "text": words}


async def rows_of(query: Balancer, sql: str) -> list[list[Any]]:
    """What the lake answers; asked again by a balancer, it is one question still."""
    wanted = {"sql": sql, "timeout_seconds": ANSWERED_WITHIN_S}
    once = {"Idempotency-Key": secrets.token_hex(8)}
    job = (await query("POST", "/v1/analytics/queries", json=wanted, headers=once)).json()
    query_id = job["id"]
    async with asyncio.timeout(ANSWERED_WITHIN_S):
        while job["state"] in {"queued", "running"}:
            await asyncio.sleep(0.1)
            job = (await query("GET", f"/v1/analytics/queries/{query_id}")).json()
    assert job["state"] == "succeeded", job
    rows: list[list[Any]] = (await query("GET", f"/v1/analytics/queries/{query_id}/result")).json()["rows"]
    return rows


async def all_found(query: Balancer, sent: Sequence[str]) -> None:
    async with asyncio.timeout(FOUND_WITHIN_S):
        for start in range(0, len(sent), 1000):
            ids = list(sent[start : start + 1000])
            texts = [a_b(id_)["text"] for id_ in ids]
            while True:
                found = (await query("POST", "/v1/b/lookup", json={"ids": ids})).json()["items"]
                if [one and one["text"] for one in found] == texts:
                    break
                await asyncio.sleep(0.2)


async def each_counted_once(stack: Stack, load: Load) -> None:
    """Ids, and every message of the log: in the windows and in the lake."""
    messages, ids = await log_length(stack, "records.b"), set(load.sent)

    async def told() -> Mapping[str, Any]:
        counts = {
            unit: (await load.query("GET", "/v1/counts/b", params={"hours": 2, "unit": unit})).json()["count"]
            for unit in ("items", "events")
        }
        return counts | {"lake": (await rows_of(load.query, HELD))[0]}

    found: Mapping[str, Any] = {}
    async with asyncio.timeout(ANSWERED_WITHIN_S):
        while (found := await told())["events"] < messages or found["lake"][0] < messages:
            await asyncio.sleep(0.5)
    known = found["lake"][2]
    assert known >= len(ids) + 2  # the first one, and those that tried the rule
    assert found == {"items": known, "events": messages, "lake": [messages, messages, known]}


async def log_length(stack: Stack, topic: str) -> int:
    """How many messages it holds."""
    async with AIOKafkaConsumer(bootstrap_servers=stack.kafka_bootstrap) as consumer:
        ends = await consumer.end_offsets([TopicPartition(topic, number) for number in range(PARTITIONS)])
        return sum(ends.values())


async def each_told_once(load: Load, receiver: Any) -> None:
    """By one message, whatever of its way died in between."""
    planted = {id_ for id_ in load.sent if "zebra" in a_b(id_)["text"]}

    def told() -> Counter[str]:
        return Counter(id_ for records in receiver.told().values() for id_ in records if id_.startswith("b-"))

    async with asyncio.timeout(FOUND_WITHIN_S):
        while not planted <= set(told()):
            await asyncio.sleep(0.2)
    assert told() == Counter(planted)
