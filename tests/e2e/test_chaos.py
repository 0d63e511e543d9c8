"""Processes die without a warning, or hang, while a client that retries sends: what was acknowledged is found, right.

On servers and services of its own, so that no other test sees them fall.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
import pytest_asyncio

from common.bootstrap import ensure_first_key
from common.kafka.topics import ensure_topics
from common.settings import KafkaSettings
from localstack.services import SERVICES
from localstack.testing import Stack, running_servers

pytestmark = [pytest.mark.long]

BATCH = 100
PAUSE_S = 0.2  # of a client that has no more to send at the moment
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


@pytest_asyncio.fixture
async def http(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    key = stack.profile.key_file.read_text().strip()
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=30) as http:
        yield http


def records_of(name: str) -> list[dict[str, Any]]:
    return [
        {"unique_identifier": f"{name}-{n}", "Stream_A_unique_identifier": f"p{n % 7}", "number": n, "text": f"no. {n}"}
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
        if over.is_set():
            more_after_it -= 1
        if not more_after_it:
            return records[:sent]
        await asyncio.sleep(PAUSE_S)
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


async def all_found(stack: Stack, http: httpx.AsyncClient, records: Sequence[dict[str, Any]]) -> None:
    deadline = asyncio.get_running_loop().time() + FOUND_WITHIN_S
    while True:
        try:
            wrong = await wrong_ones(stack, http, records)
        except httpx.TransportError as error:
            wrong = [repr(error)]
        if not wrong:
            return
        assert asyncio.get_running_loop().time() < deadline, f"{len(wrong)} wrong, such as {wrong[:3]}"
        await asyncio.sleep(0.5)


@pytest.mark.parametrize(
    "victims",
    [
        ("ingest",),
        ("documents",),
        ("query-api",),
        ("kafka",),
        ("mongo",),
        ("valkey",),
        ("kafka", "documents"),
        ("ingest", "mongo"),
    ],
    ids="+".join,
)
async def test_what_was_acknowledged_survives_a_kill(
    stack: Stack, http: httpx.AsyncClient, victims: Sequence[str]
) -> None:
    """Killed in the middle of a stream, once early and once late, and brought back by the supervisor."""
    records, over = records_of("kill-" + "-".join(victims)), asyncio.Event()
    sending = asyncio.create_task(send_until_over(stack, http, records, over))
    for _ in range(2):
        for victim in victims:
            stack.kill(victim)
        for victim in victims:
            await stack.restarted(victim)
    over.set()
    await all_found(stack, http, await sending)


@pytest.mark.parametrize("victim", ["documents", "kafka", "mongo"])
async def test_what_was_acknowledged_survives_a_hang(stack: Stack, http: httpx.AsyncClient, victim: str) -> None:
    """A process that stands still for twenty seconds, its connections open, is the harder kind of away."""
    records, over = records_of(f"hang-{victim}"), asyncio.Event()
    sending = asyncio.create_task(send_until_over(stack, http, records, over))
    stack.suspend(victim)
    try:
        await asyncio.sleep(20)  # the length of the hang is what is tested; nothing is waited for
    finally:
        stack.resume(victim)
    over.set()
    await all_found(stack, http, await sending)
