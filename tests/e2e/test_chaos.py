"""Processes die without a warning, hang, come and go while a client that retries sends: what was acknowledged is right.

All of it is found as it was sent, and counted once. On servers and services of its own, so that no other test sees them
fall; in all, the cases send more than fifty thousand records.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
import pytest_asyncio

from common.bootstrap import ensure_first_key
from common.kafka.topics import ensure_topics
from common.settings import KafkaSettings
from localstack.processes import Process
from localstack.profile import on_free_ports
from localstack.services import SERVICES, services
from localstack.testing import Stack, running_servers

pytestmark = [pytest.mark.long]

BATCH = 200
IN_ALL = 50_000
PARENTS = 7
PAUSE_S, LONGER_PAUSE_S = 0.2, 1.0  # of a client that has no more to send at the moment; and once there are ENOUGH
ENOUGH = 3_200  # of a case: seventeen of them make up IN_ALL
RECORDS = 60_000
FOUND_WITHIN_S = 240


@pytest_asyncio.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Whatever dies, no service may meet a fault of its own: that is looked up at the end."""
    async with running_servers(tmp_path_factory.mktemp("chaos")) as stack:
        await ensure_topics(KafkaSettings(kafka_bootstrap=stack.kafka_bootstrap), partitions=4)
        await ensure_first_key(KafkaSettings(kafka_bootstrap=stack.kafka_bootstrap), stack.profile.key_file)
        await stack.start_services(list(SERVICES))
        yield stack
        logs = [stack.profile.logs / f"{name.replace('_', '-')}.log" for name in SERVICES]
        assert [line for log in logs for line in log.read_text().splitlines() if '"internal_error"' in line] == []


def records_of(name: str) -> list[dict[str, Any]]:
    return [
        {
            "unique_identifier": f"{name}-{n}",
            "Stream_A_unique_identifier": f"{name}-p{n % PARENTS}",
            "number": n,
            "text": f"no. {n}",
        }
        for n in range(RECORDS)
    ]


async def send_until_acknowledged(http: httpx.AsyncClient, url: str, batch: Sequence[dict[str, Any]]) -> None:
    """As a careful client does: the same again until there is a 202."""
    async with asyncio.timeout(180):
        while True:
            try:
                answer = await http.post(url, json=batch)
            except httpx.TransportError:
                await asyncio.sleep(0.1)
                continue
            if answer.status_code == httpx.codes.ACCEPTED:
                return
            assert answer.status_code in {429, 503}, answer.text
            await asyncio.sleep(0.1)


async def send_until_over(
    stack: Stack, http: httpx.AsyncClient, records: Sequence[dict[str, Any]], over: asyncio.Event
) -> Sequence[dict[str, Any]]:
    """Send batch after batch for as long as processes fall, and a few more after it is over; what was sent."""
    url = f"{stack.profile.url('ingest')}/v1/streams/b/records"
    more_after_it = 3
    for sent in range(BATCH, len(records) + 1, BATCH):
        await send_until_acknowledged(http, url, records[sent - BATCH : sent])
        if over.is_set() and sent >= ENOUGH:
            more_after_it -= 1
        if not more_after_it:
            return records[:sent]
        await asyncio.sleep(PAUSE_S if sent < ENOUGH else LONGER_PAUSE_S)
    pytest.fail("the records ran out before the processes were back: there was no sending while they fell")


async def wrong_ones(stack: Stack, http: httpx.AsyncClient, records: Sequence[dict[str, Any]]) -> list[str]:
    """Ids that are not found, or not as they were sent."""
    wrong = []
    for start in range(0, len(records), 1000):
        part = records[start : start + 1000]
        answer = await http.post(
            f"{stack.profile.url('query_api')}/v1/b/lookup", json={"ids": [one["unique_identifier"] for one in part]}
        )
        if answer.status_code != httpx.codes.OK:
            return [answer.text]
        found = answer.json()["items"]
        wrong += [
            one["unique_identifier"]
            for one, stored in zip(part, found, strict=True)
            if stored is None or not one.items() <= stored.items()
        ]
    return wrong


async def counted(stack: Stack, http: httpx.AsyncClient, name: str) -> str | int:
    """How many B the parents of `name` have within the past hour, or why nobody knows."""
    questions = [{"stream": "b", "hours": 1, "a_id": f"{name}-p{n}"} for n in range(PARENTS)]
    answer = await http.post(f"{stack.profile.url('query_api')}/v1/counts/batch", json={"questions": questions})
    if answer.status_code != httpx.codes.OK:
        return answer.text
    return sum(one["count"] for one in answer.json()["items"])


async def all_right(stack: Stack, http: httpx.AsyncClient, records: Sequence[dict[str, Any]]) -> None:
    """Every one of `records` is found as it was sent, and counted once."""
    name = records[0]["unique_identifier"].rpartition("-")[0]
    deadline = asyncio.get_running_loop().time() + FOUND_WITHIN_S
    while True:
        try:
            wrong, count = await wrong_ones(stack, http, records), await counted(stack, http, name)
        except httpx.TransportError as error:
            wrong, count = [repr(error)], -1
        if not wrong and count == len(records):
            return
        told = f"{len(wrong)} wrong, such as {wrong[:3]}; {count} counted of {len(records)}"
        assert asyncio.get_running_loop().time() < deadline, told
        await asyncio.sleep(0.5)


class Sending:
    """A client that sends for as long as something goes wrong."""

    def __init__(self, stack: Stack, http: httpx.AsyncClient) -> None:
        self._stack = stack
        self._http = http
        self.sent = 0

    @asynccontextmanager
    async def during(self, name: str) -> AsyncIterator[None]:
        """Send while the body lasts, and afterwards make sure that all is right."""
        over = asyncio.Event()
        sending = asyncio.create_task(send_until_over(self._stack, self._http, records_of(name), over))
        try:
            yield
        except BaseException:
            sending.cancel()
            raise
        over.set()
        records = await sending
        self.sent += len(records)
        await all_right(self._stack, self._http, records)


@pytest_asyncio.fixture(scope="module")
async def sending(stack: Stack) -> AsyncIterator[Sending]:
    key = stack.profile.key_file.read_text().strip()
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=30) as http:
        yield Sending(stack, http)


@pytest.mark.parametrize(
    "victims",
    [
        ("ingest",),
        ("documents",),
        ("aggregates",),
        ("query-api",),
        ("kafka",),
        ("mongo",),
        ("valkey",),
        ("kafka", "documents"),
        ("ingest", "mongo"),
        ("aggregates", "valkey"),
        ("kafka", "mongo"),
    ],
    ids="+".join,
)
async def test_what_was_acknowledged_survives_a_kill(stack: Stack, sending: Sending, victims: Sequence[str]) -> None:
    """Killed in the middle of a stream, one twice, a pair once, and brought back by the supervisor."""
    async with sending.during("kill-" + "-".join(victims)):
        for _ in range(2 if len(victims) == 1 else 1):
            for victim in victims:
                stack.kill(victim)
            for victim in victims:
                await stack.restarted(victim)


@pytest.mark.parametrize(
    "victims", [("documents", "aggregates"), ("ingest",), ("kafka",), ("mongo", "valkey")], ids="+".join
)
async def test_what_was_acknowledged_survives_a_hang(stack: Stack, sending: Sending, victims: Sequence[str]) -> None:
    """A process that stands still for twenty seconds, its connections open, is the harder kind of away."""
    async with sending.during("hang-" + "-".join(victims)):
        for victim in victims:
            stack.suspend(victim)
        try:
            await asyncio.sleep(20)  # the length of the hang is what is tested; nothing is waited for
        finally:
            for victim in victims:
                stack.resume(victim)


@pytest.mark.parametrize("name", ["documents", "aggregates"])
async def test_what_was_acknowledged_survives_rebalances(stack: Stack, sending: Sending, name: str) -> None:
    """Another worker comes, dies, comes back and goes: each time every partition changes hands amid its batches."""
    another = another_of(stack, name)
    async with sending.during(f"rebalance-{name}"):
        await stack.supervisor.start([another])
        stack.kill(another.name)
        await stack.restarted(another.name)
        await stack.stop(another.name)


def another_of(stack: Stack, name: str) -> Process:
    """A second process of a service, which listens elsewhere."""
    port = f"{name}_metrics"
    elsewhere = {**stack.profile.ports, port: on_free_ports(stack.profile).ports[port]}
    (another,) = services(replace(stack.profile, ports=elsewhere), [name])
    return replace(another, name=f"another-{name}", log=stack.profile.logs / f"another-{name}.log")


async def test_all_of_it_was_worth_the_name(sending: Sending) -> None:
    """Last: how much was sent while processes fell."""
    assert sending.sent >= IN_ALL
