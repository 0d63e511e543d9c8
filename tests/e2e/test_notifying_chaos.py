"""Processes die without a warning while signals are sent and their receiver fails half the time: all are told of, once.

On servers and services of its own, so that no other test sees them fall.
"""

import asyncio
import random
import secrets
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import pytest_asyncio
from standardwebhooks import Webhook

from common.bootstrap import ensure_first_key
from common.kafka.topics import ensure_topics
from common.settings import KafkaSettings
from localstack.testing import Stack, running_servers

pytestmark = [pytest.mark.long]

SERVICES = ("scan", "notifier", "ingest", "query_api")
BATCHES = 24
PER_BATCH = 10
PAUSE_S = 0.2  # of a client that has no more to send at the moment
TOLD_WITHIN_S = 60
MOST_FAILURES = 4  # of one message: waits grow, and what is missing at the end must be lost, not late


class Receiver(ThreadingHTTPServer):
    """Verifies what comes, and fails half the time: before it has taken a message, or after."""

    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.secret = ""
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self.failed = Counter[str]()
        self.chance = random.Random(1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def told(self) -> dict[str, list[str]]:
        """The alerts' records by the id of the message that told of them, whatever came twice taken once."""
        by_id = {message_id: message["data"]["alerts"] for message_id, message in list(self.taken)}
        return {
            message_id: [alert["record"]["unique_identifier"] for alert in alerts]
            for message_id, alerts in by_id.items()
        }


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        message = Webhook(self.server.secret).verify(content, dict(self.headers))
        message_id, chance = self.headers["webhook-id"], self.server.chance
        fails = chance.random() < 0.5 and self.server.failed[message_id] < MOST_FAILURES
        if fails:
            self.server.failed[message_id] += 1
        if not fails or chance.random() < 0.5:
            self.server.taken.append((message_id, message))
        self.send_response(500 if fails else 204)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest_asyncio.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> AsyncIterator[Stack]:
    """Waits between attempts are short here; a fault of ours would be looked up at the end."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TWINSTREAM_WAIT_FACTOR", "0.005")
        patched.setenv("TWINSTREAM_SEND_TIMEOUT_MS", "4000")
        async with running_servers(tmp_path_factory.mktemp("chaos")) as stack:
            await ensure_topics(KafkaSettings(kafka_bootstrap=stack.kafka_bootstrap), partitions=4)
            await ensure_first_key(KafkaSettings(kafka_bootstrap=stack.kafka_bootstrap), stack.profile.key_file)
            await stack.start_services(list(SERVICES))
            await _open(stack, receiver)
            yield stack
            logs = [stack.profile.logs / f"{name.replace('_', '-')}.log" for name in SERVICES]
            assert [line for log in logs for line in log.read_text().splitlines() if '"internal_error"' in line] == []


def client(stack: Stack) -> httpx.AsyncClient:
    key = stack.profile.key_file.read_text().strip()
    return httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=30)


async def _open(stack: Stack, receiver: Receiver) -> None:
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
        for _ in range(2):
            await _until_acknowledged(http, url, records)
        await asyncio.sleep(PAUSE_S)
    return planted


async def _until_acknowledged(http: httpx.AsyncClient, url: str, records: Sequence[Any]) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                if (await http.post(url, json=records)).status_code == httpx.codes.ACCEPTED:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("victims", "times"),
    [(("notifier",), 2), (("scan",), 2), (("kafka",), 1), (("notifier", "mongo"), 1)],
    ids=["notifier", "scan", "kafka", "notifier+mongo"],
)
async def test_every_signal_is_told_of_and_none_is_invented(
    stack: Stack, receiver: Receiver, victims: Sequence[str], times: int
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
    while missing := planted - set(of(receiver, name)):
        assert asyncio.get_running_loop().time() < deadline, f"{len(missing)} missing, such as {sorted(missing)[:3]}"
        await asyncio.sleep(0.2)
    assert Counter(of(receiver, name)) == Counter(planted)
    assert receiver.failed.total() > len(planted) // 4


def of(receiver: Receiver, name: str) -> list[str]:
    """The records of one test that were told of, each as often as after the receiver's dedup."""
    return [record for records in receiver.told().values() for record in records if record.startswith(name)]
