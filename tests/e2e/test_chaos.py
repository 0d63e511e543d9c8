"""Processes die without a warning, hang, come and go while a client that retries sends: what was acknowledged is right.

In each case the client sends fifty thousand records or more. All of it is found as it was sent, and counted once. On
servers and services of its own, so that no other test sees them fall.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from common.bootstrap import ensure_first_key
from common.instants import rfc3339_ms
from common.kafka.topics import ensure_topics
from common.settings import KafkaSettings
from localstack.free_ports import free_port
from localstack.processes import Process
from localstack.services import SERVICES, services
from localstack.testing import Stack, running_servers, send_until_acknowledged

pytestmark = [pytest.mark.long]

BATCH = 1_000
ENOUGH, AT_MOST = 50, 200  # batches of a case: the least, and what is too many before the processes are back
# Of each id, all in one batch: documents folds them into one write, and the local MongoDB takes a thousand a second.
VERSIONS = 20
PARENTS = 7
PAUSE_S, LONGER_PAUSE_S = 0.1, 1.0  # of a client that has no more to send at the moment; and once it has sent ENOUGH
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


def batch_of(name: str, number: int, now_ms: int) -> list[dict[str, Any]]:
    """Versions of new ids, the last of each the newest."""
    first, ids = number * BATCH // VERSIONS, BATCH // VERSIONS
    return [
        {
            "unique_identifier": f"{name}-{n}",
            "Stream_A_unique_identifier": f"{name}-p{n % PARENTS}",
            "number": n,
            "text": f"no. {n}, version {version}",
            "event_time": now_ms + version,
        }
        for version in range(VERSIONS)
        for n in range(first, first + ids)
    ]


def newest(batch: Sequence[Mapping[str, Any]], now_ms: int) -> dict[str, dict[str, Any]]:
    """What is to be found of a batch, by id: `first_seen` tells that the oldest version came, too."""
    first_seen = rfc3339_ms(now_ms)
    return {
        one["unique_identifier"]: {**one, "event_time": rfc3339_ms(one["event_time"]), "first_seen": first_seen}
        for one in batch
    }


async def send_until_over(
    stack: Stack, http: httpx.AsyncClient, name: str, over: asyncio.Event
) -> dict[str, dict[str, Any]]:
    """Send batch after batch for as long as processes fall, and a few more after it is over; what is to be found."""
    url, now_ms = f"{stack.profile.url('ingest')}/v1/streams/b/records", int(time.time() * 1000) - VERSIONS
    sent, more_after_it = dict[str, dict[str, Any]](), 3
    for number in count(1):
        assert number <= AT_MOST, "the processes did not come back in time"
        batch = batch_of(name, number, now_ms)
        await send_until_acknowledged(http, url, b"\n".join(map(msgspec.json.encode, batch)))
        sent |= newest(batch, now_ms)
        more_after_it -= over.is_set() and number >= ENOUGH
        if not more_after_it:
            break
        await asyncio.sleep(PAUSE_S if number < ENOUGH or over.is_set() else LONGER_PAUSE_S)
    return sent


async def wrong_ones(stack: Stack, http: httpx.AsyncClient, wanted: Mapping[str, dict[str, Any]]) -> list[str]:
    """Ids that are not found, or not as they should be."""
    wrong, ids = list[str](), list(wanted)
    for start in range(0, len(ids), 1000):
        part = ids[start : start + 1000]
        answer = await http.post(f"{stack.profile.url('query_api')}/v1/b/lookup", json={"ids": part})
        if answer.status_code != httpx.codes.OK:
            return ids[start:] + wrong
        found = answer.json()["items"]
        wrong += [
            id_
            for id_, stored in zip(part, found, strict=True)
            if stored is None or not wanted[id_].items() <= stored.items()
        ]
    return wrong


async def counted(stack: Stack, http: httpx.AsyncClient, name: str) -> str | int:
    """How many B the parents of `name` have within the past hour, or why nobody knows."""
    questions = [{"stream": "b", "hours": 1, "a_id": f"{name}-p{n}"} for n in range(PARENTS)]
    answer = await http.post(f"{stack.profile.url('query_api')}/v1/counts/batch", json={"questions": questions})
    if answer.status_code != httpx.codes.OK:
        return answer.text
    return sum(one["count"] for one in answer.json()["items"])


async def all_right(stack: Stack, http: httpx.AsyncClient, name: str, sent: Mapping[str, dict[str, Any]]) -> None:
    """Every id of `sent` is found as it should be, and counted once; all are looked at once the last ones are there."""
    deadline, wrong = asyncio.get_running_loop().time() + FOUND_WITHIN_S, list(sent)[-BATCH // VERSIONS :]
    doubtful = wrong
    while True:
        number: str | int = "not yet"
        try:
            wrong = await wrong_ones(stack, http, {id_: sent[id_] for id_ in doubtful})
            number = number if wrong else await counted(stack, http, name)
            if number == len(sent):
                wrong = doubtful = await wrong_ones(stack, http, sent)
                if not wrong:
                    return
        except httpx.TransportError as error:
            number = repr(error)
        told = f"{len(wrong)} wrong, such as {wrong[:3]}; {number} counted of {len(sent)}"
        assert asyncio.get_running_loop().time() < deadline, told
        await asyncio.sleep(0.5)


class Sending:
    """A client that sends for as long as something goes wrong."""

    def __init__(self, stack: Stack, http: httpx.AsyncClient) -> None:
        self._stack = stack
        self.http = http

    @asynccontextmanager
    async def during(self, name: str) -> AsyncIterator[None]:
        """Send while the body lasts, and afterwards make sure that all is right."""
        over = asyncio.Event()
        sending = asyncio.create_task(send_until_over(self._stack, self.http, name, over))
        try:
            yield
        except BaseException:
            sending.cancel()
            raise
        over.set()
        await all_right(self._stack, self.http, name, await sending)


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
    "victims",
    [("documents", "aggregates"), ("ingest", "query-api"), ("kafka",), ("mongo", "valkey")],
    ids="+".join,
)
async def test_what_was_acknowledged_survives_a_hang(stack: Stack, sending: Sending, victims: Sequence[str]) -> None:
    """A process that stands still for twenty seconds, its connections open, is the harder kind of away.

    Whoever asks meanwhile has an answer in the end, or is told to ask again.
    """
    async with sending.during("hang-" + "-".join(victims)):
        for victim in victims:
            stack.suspend(victim)
        asking = asyncio.create_task(sending.http.get(f"{stack.profile.url('query_api')}/v1/counts/b", timeout=120))
        try:
            await asyncio.sleep(20)  # the length of the hang is what is tested; nothing is waited for
        finally:
            for victim in victims:
                stack.resume(victim)
        answer = await asking
        assert answer.status_code in {httpx.codes.OK, httpx.codes.SERVICE_UNAVAILABLE}, answer.text


@pytest.mark.parametrize("name", ["documents", "aggregates"])
async def test_what_was_acknowledged_survives_rebalances(stack: Stack, sending: Sending, name: str) -> None:
    """Another worker comes, dies, comes back and goes: each time every partition changes hands amid its batches."""
    another, log = another_of(stack, name), stack.profile.logs / f"{name}.log"
    before = log.read_text().count('"partitions_assigned"')
    async with sending.during(f"rebalance-{name}"):
        await stack.supervisor.start([another])
        stack.kill(another.name)
        await stack.restarted(another.name)
        await stack.stop(another.name)
    assert log.read_text().count('"partitions_assigned"') >= before + 2
    assert another.log.read_text().count('"partitions_assigned"') >= 2


def another_of(stack: Stack, name: str) -> Process:
    """A second process of a service, which listens elsewhere; under the name of the first it would take its place."""
    port = f"{name}_metrics"
    elsewhere = {**stack.profile.ports, port: free_port()}
    (another,) = services(replace(stack.profile, ports=elsewhere), [name])
    nameless = {**another.environment, "TWINSTREAM_INSTANCE": "", "TWINSTREAM_SESSION_TIMEOUT_MS": "6000"}
    log = stack.profile.logs / f"another-{name}.log"
    return replace(another, name=f"another-{name}", log=log, environment=nameless)
