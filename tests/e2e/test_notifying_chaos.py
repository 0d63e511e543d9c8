"""Processes die without a warning while signals are sent and their receiver fails half the time: all are told of, once.

On servers and services of its own, so that no other test sees them fall.
"""

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from common.bootstrap import ensure_first_key
from common.kafka.topics import ensure_topics
from common.settings import KafkaSettings
from localstack.testing import Stack, running_servers, send_until_acknowledged

pytestmark = [pytest.mark.long]

SERVICES = ("scan", "notifier", "ingest", "query_api")
BATCHES = 24
PER_BATCH = 10
PAUSE_S = 0.2  # of a client that has no more to send at the moment
TOLD_WITHIN_S = 60
MOST_FAILURES = 4  # of one message: waits grow, and what is missing at the end must be lost, not late


class Failing:
    """A receiver that fails half the time: before it has taken a message, or after."""

    def __init__(self, receiver: Any) -> None:
        self.receiver = receiver
        self.failed = Counter[str]()
        self.chance = random.Random(1)
        receiver.answer = self.answer

    def answer(self, message_id: str) -> tuple[int, bool]:
        if self.chance.random() < 0.5 and self.failed[message_id] < MOST_FAILURES:
            self.failed[message_id] += 1
            return 500, self.chance.random() < 0.5
        return 204, True


@pytest.fixture(scope="module")
def failing(lasting_receiver: Any) -> Failing:
    return Failing(lasting_receiver)


@pytest_asyncio.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory, failing: Failing) -> AsyncIterator[Stack]:
    """Waits between attempts are short here; a fault of ours would be looked up at the end."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TWINSTREAM_WAIT_FACTOR", "0.005")
        patched.setenv("TWINSTREAM_SEND_TIMEOUT_MS", "4000")
        async with running_servers(tmp_path_factory.mktemp("chaos")) as stack:
            await ensure_topics(KafkaSettings(kafka_bootstrap=stack.kafka_bootstrap), partitions=4)
            await ensure_first_key(KafkaSettings(kafka_bootstrap=stack.kafka_bootstrap), stack.profile.key_file)
            await stack.start_services(list(SERVICES))
            await _open(stack, failing.receiver)
            yield stack
            logs = [stack.profile.logs / f"{name.replace('_', '-')}.log" for name in SERVICES]
            assert [line for log in logs for line in log.read_text().splitlines() if '"internal_error"' in line] == []


def client(stack: Stack) -> httpx.AsyncClient:
    key = stack.profile.key_file.read_text().strip()
    return httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=30)


async def _open(stack: Stack, receiver: Any) -> None:
    url = stack.profile.url("query_api")
    async with client(stack) as http:
        made = await http.post(f"{url}/v1/destinations", json={"name": "ops", "kind": "webhook", "url": receiver.url})
        receiver.secret = made.json()["secret"]
        rule = await http.post(
            f"{url}/v1/rules", json={"name": "zebras", "keywords": ["zebra"], "destinations": ["ops"]}
        )
        assert rule.is_success, rule.text
    await stack.rules_in_force(rule.json()["version"])


async def send(stack: Stack, http: httpx.AsyncClient, name: str) -> set[str]:
    """Records, every second one with a signal, until all are acknowledged; those with one, twice. Returns these."""
    planted = set()
    url = f"{stack.profile.url('ingest')}/v1/streams/b/records"
    for batch in range(BATCHES):
        records = [
            {
                "unique_identifier": f"{name}-{batch}-{n}",
                "Stream_A_unique_identifier": "p",
                "number": n,
                "text": f"a {'zebra' if n % 2 else 'horse'} {n}",
            }
            for n in range(PER_BATCH)
        ]
        planted |= {str(one["unique_identifier"]) for one in records if "zebra" in str(one["text"])}
        lines = b"\n".join(map(msgspec.json.encode, records))
        for _ in range(2):
            await send_until_acknowledged(http, url, lines)
        await asyncio.sleep(PAUSE_S)
    return planted


@pytest.mark.parametrize(
    ("victims", "times"),
    [(("notifier",), 2), (("scan",), 2), (("kafka",), 1), (("notifier", "mongo"), 1)],
    ids=["notifier", "scan", "kafka", "notifier+mongo"],
)
async def test_every_signal_is_told_of_and_none_is_invented(
    stack: Stack, failing: Failing, victims: Sequence[str], times: int
) -> None:
    """Killed in the middle of it: at least once with the same id, exactly once after the receiver's dedup."""
    name = f"{'-'.join(victims)}-{secrets.token_hex(3)}"
    async with client(stack) as http:
        sending = asyncio.create_task(send(stack, http, name))
        for _ in range(times):
            await asyncio.sleep(1.0)  # in the middle of it, not before
            for victim in victims:
                stack.kill(victim)
            for victim in victims:
                await stack.restarted(victim)
        planted = await sending
    deadline = asyncio.get_running_loop().time() + TOLD_WITHIN_S
    while missing := planted - set(of(failing, name)):
        assert asyncio.get_running_loop().time() < deadline, f"{len(missing)} missing, such as {sorted(missing)[:3]}"
        await asyncio.sleep(0.2)
    assert Counter(of(failing, name)) == Counter(planted)
    assert failing.failed.total() > len(planted) // 4


def of(failing: Failing, name: str) -> list[str]:
    """The records of one test that were told of, each as often as after the receiver's dedup."""
    return [record for records in failing.receiver.told().values() for record in records if record.startswith(name)]
