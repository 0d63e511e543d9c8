"""Signals: from a request's first byte to the webhook's receipt at a steady rate, and the notifier's throughput."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import msgspec
from harness.figures import Figure, figure, percentile
from harness.load import at_a_rate, connected, request
from harness.product import Product, running_product
from spine_workload import bodies

from common.alerts import Alert, Severity, Span
from common.clock import SystemClock
from common.contracts import ALERTS, RecordB, Stream
from common.kafka.producer import Message, Producer
from common.settings import KafkaSettings

PER_SECOND = 200
ONE_IN = 20  # records with a signal
SECONDS = 30
WARM_SECONDS = 3
CONNECTIONS = 16
ALERTS_AT_ONCE = 2_000
DEADLINE_S = 90.0
WORD = "zebrafish"


class Receiver(asyncio.Protocol):
    """Answers every POST at once; what it costs must not be what is measured."""

    def __init__(self, received: dict[str, float]) -> None:
        """`received`: when each record was first told of, by its id."""
        self._received = received
        self._buffer = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0) if found else 0
        if not found or len(body) < length:
            return
        self._buffer = body[length:]
        now = asyncio.get_running_loop().time()
        for alert in msgspec.json.decode(body[:length])["data"]["alerts"]:
            self._received.setdefault(alert["record"]["unique_identifier"], now)
        self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


async def run(*, quick: bool) -> list[Figure]:
    received = dict[str, float]()
    server = await asyncio.get_running_loop().create_server(lambda: Receiver(received), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with running_product(["ingest", "query_api", "scan", "notifier"]) as product:
        await open_webhook(product, url)
        await _journeys(product, received, PER_SECOND * (1 if quick else WARM_SECONDS), seed=1)
        seconds = await _journeys(product, received, PER_SECOND * (3 if quick else SECONDS), seed=2)
        count = 200 if quick else ALERTS_AT_ONCE
        before = product.usage("notifier")
        per_second = await _delivered(product, received, count)
        cpu_s = product.usage("notifier").since(before).cpu_s
    server.close()
    about = f"at {PER_SECOND}/s, one in {ONE_IN} with a signal"
    return [
        figure(f"first byte to receipt, median {about}", "ms", [percentile(seconds, 50) * 1000], better="lower"),
        figure(
            f"first byte to receipt, p99 {about}", "ms", [percentile(seconds, 99) * 1000], better="lower", aim=300.0
        ),
        figure(f"the longest {about}", "ms", [max(seconds) * 1000], better="lower"),
        figure("deliveries to one webhook", "1/s", [per_second]),
        figure("notifier", "CPU ms/delivery", [cpu_s / count * 1000], better="lower"),
    ]


async def open_webhook(product: Product, url: str) -> None:
    """A destination and a rule, in force before anything is measured."""
    base = product.stack.profile.url("query_api")
    async with httpx.AsyncClient(base_url=base, headers=product.headers, timeout=30) as http:
        made = [
            await http.post("/v1/destinations", json={"name": "bench", "kind": "webhook", "url": url}),
            await http.post("/v1/rules", json={"name": "bench", "keywords": [WORD], "destinations": ["bench"]}),
        ]
    assert all(answer.is_success for answer in made), made  # noqa: S101  # nothing would be measured


async def _journeys(product: Product, received: Mapping[str, float], count: int, seed: int) -> list[float]:
    """How long each signal took, from when its request was due to its receipt."""
    headers = product.headers | {"content-type": "application/json"}
    loop, requests, due = asyncio.get_running_loop(), list[bytes](), dict[str, float]()
    for n, raw in enumerate(bodies(count, seed=seed)):
        record = msgspec.json.decode(raw)
        if n % ONE_IN == 0:
            record["text"] += f" {WORD} {secrets.token_hex(4)}"
            due[record["unique_identifier"]] = n / PER_SECOND
        requests.append(request("POST", "/v1/streams/b/records", msgspec.json.encode(record), headers))
    async with connected(product.stack.profile.url("ingest"), CONNECTIONS) as connections:
        began = loop.time() + 0.01  # as `at_a_rate` begins
        await at_a_rate(connections, requests, PER_SECOND, 202)
    await _all(received, list(due))
    return [received[record_id] - began - after for record_id, after in due.items()]


async def _delivered(product: Product, received: dict[str, float], count: int) -> float:
    """Deliveries per second, of alerts that stand in the log all at once."""
    producer = Producer(KafkaSettings(kafka_bootstrap=product.stack.kafka_bootstrap))
    await producer.start()
    alerts = [_alert(n) for n in range(count)]
    ids = [f"flood-{n}" for n in range(count)]
    messages = [Message(alert.id.encode(), msgspec.json.encode(alert), alert.raised_at) for alert in alerts]
    await producer.publish(ALERTS, messages)
    await producer.stop()
    await _all(received, ids)
    moments = sorted(received[record_id] for record_id in ids)
    return (count - 1) / (moments[-1] - moments[0])


def _alert(n: int) -> Alert:
    now_ms = SystemClock().now_ms()
    record = RecordB(
        id=f"flood-{n}", a_id="a", number=1.0, text=f"{WORD} {n}", event_time=now_ms, ingested_at=now_ms * 1000
    )
    return Alert(
        id=secrets.token_hex(16),
        rule="bench",
        rule_version=1,
        match_revision="r",
        severity=Severity.INFO,
        stream=Stream.B,
        record=msgspec.Raw(msgspec.json.encode(record)),
        matches=(Span("text", 0, len(WORD), WORD, WORD),),
        destinations=("bench",),
        cooldown_seconds=0,
        group_seconds=0,
        raised_at=now_ms,
    )


async def _all(received: Mapping[str, float], ids: Sequence[str]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not received.keys() >= set(ids):  # noqa: ASYNC110  # a look now and then costs less than an event each
            await asyncio.sleep(0.05)
