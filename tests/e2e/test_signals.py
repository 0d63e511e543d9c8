"""The planted truth: every signal of the synthetic demo is alerted where it stands, and nothing else, whoever dies."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, NamedTuple, Self

import httpx
import msgspec
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer

from common.alerts import ERASURE_KEY, Alert, record_of
from common.bootstrap import ensure_first_key
from common.contracts import ALERTS, Stream
from common.kafka.topics import ensure_topics
from common.settings import KafkaSettings
from localstack.testing import Stack, running_servers, send_until_acknowledged
from twinstream.demo.shape import Shape
from twinstream.demo.synthetic import Generated, Synthetic
from twinstream.demo.texts import languages

BATCH = 200
WITHIN_S = 120


class Signal(NamedTuple):
    """A signal and where it stands."""

    stream: Stream
    id: str
    text: str
    phrase: str
    start: int
    end: int


class Planted:
    """A run of the demo under ids of its own; most B come again as they were, every tenth text has a signal."""

    def __init__(self, records: int) -> None:
        self.token = secrets.token_hex(4)
        run = Synthetic(Shape(seed=7, records=records, a_ids=records // 50, b_per_day=records // 3, signal_every=10))
        self._run = [self._ours(generated) for generated in run]

    def _ours(self, generated: Generated) -> Generated:
        record, truth = generated
        own = f"{self.token}-{record.id}"
        renamed = msgspec.structs.replace(record, id=own)
        return Generated(renamed, truth and msgspec.structs.replace(truth, id=own))

    def batches(self) -> Iterator[tuple[Stream, bytes]]:
        """What is sent, stream by stream within each stretch, as NDJSON."""
        for start in range(0, len(self._run), BATCH):
            for stream in Stream:
                part = [
                    g.record
                    for g in self._run[start : start + BATCH]
                    if hasattr(g.record, "a_id") is (stream is Stream.B)
                ]
                if part:
                    yield stream, b"\n".join(map(msgspec.json.encode, part))

    def signals(self) -> set[Signal]:
        """Each once, however often its text comes again."""
        found = ((record.text, truth) for record, truth in self._run if truth is not None)
        return {Signal(t.stream, t.id, str(text), t.phrase, t.start, t.end) for text, t in found}

    def rules(self) -> list[dict[str, Any]]:
        """One for each language."""
        return [{"name": f"{self.token}-{name}", "keywords": one.signals} for name, one in languages().items()]


class Alerts:
    """The topic of alerts, followed from its end on."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = AIOKafkaConsumer(ALERTS, bootstrap_servers=bootstrap, auto_offset_reset="latest")
        self.written = 0
        self.found: set[Signal] = set()
        self.ids: set[str] = set()

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        await self._consumer.seek_to_end()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def read(self, token: str) -> None:
        """Take in what has come of the rules with this token."""
        for entries in (await self._consumer.getmany(timeout_ms=100)).values():
            found = [entry.value for entry in entries if not entry.key.startswith(ERASURE_KEY)]
            for alert in (msgspec.json.decode(value, type=Alert) for value in found):
                if alert.rule.startswith(token):
                    self._take(alert)

    def _take(self, alert: Alert) -> None:
        self.written += 1
        self.ids.add(alert.id)
        record = record_of(alert)
        for span in alert.matches:
            self.found.add(Signal(alert.stream, record.id, record.text, span.text, span.start, span.end))

    async def all_of(self, planted: Planted) -> None:
        """Wait until every planted signal is there."""
        wanted = planted.signals()
        async with asyncio.timeout(WITHIN_S):
            while not wanted <= self.found:
                await self.read(planted.token)


async def make_rules(http: httpx.AsyncClient, query_url: str, rules: Sequence[dict[str, Any]]) -> int:
    """Make all of them; the version of the last one."""
    version = 0
    for rule in rules:
        answer = await http.post(f"{query_url}/v1/rules", json=rule)
        assert answer.status_code == 201, answer.text
        version = answer.json()["version"]
    return version


async def test_every_planted_signal_is_alerted_and_none_is_invented(running: Any) -> None:
    """In all ten languages, to the code point; what comes again as it was makes no other alert."""
    planted = Planted(records=4_000)
    async with (
        httpx.AsyncClient(headers=running.headers, timeout=30) as http,
        Alerts(running.stack.kafka_bootstrap) as alerts,
    ):
        version = await make_rules(http, running.query_url, planted.rules())
        await running.stack.rules_in_force(version)
        for stream, lines in planted.batches():
            await send_until_acknowledged(http, f"{running.ingest_url}/v1/streams/{stream}/records", lines)
        await alerts.all_of(planted)
        for rule in planted.rules():
            await http.delete(f"{running.query_url}/v1/rules/{rule['name']}")
    assert alerts.found == planted.signals()
    assert len(alerts.ids) == len(planted.signals()) > 100
    assert alerts.written > len(alerts.ids)  # or nothing came again, and the test shows less than it says


# --- whoever dies ---------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Servers and services of our own: others shall not see them fall."""
    async with running_servers(tmp_path_factory.mktemp("signals")) as stack:
        settings = KafkaSettings(kafka_bootstrap=stack.kafka_bootstrap)
        await ensure_topics(settings, partitions=4)
        await ensure_first_key(settings, stack.profile.key_file)
        await stack.start_services(["scan", "ingest", "query_api"])
        yield stack


@pytest.mark.long
async def test_no_planted_signal_is_lost_through_kills_of_the_scanner_and_of_kafka(stack: Stack) -> None:
    """Killed without a warning while records come; what is scanned again has the ids that it had."""
    planted, profile = Planted(records=6_000), stack.profile
    headers = {"Authorization": f"Bearer {profile.key_file.read_text().strip()}"}
    async with httpx.AsyncClient(headers=headers, timeout=30) as http, Alerts(stack.kafka_bootstrap) as alerts:
        version = await make_rules(http, profile.url("query_api"), planted.rules())
        await stack.rules_in_force(version)
        batches = list(planted.batches())
        victims = dict(zip((len(batches) * n // 10 for n in (1, 4, 7)), ("scan", "kafka", "scan"), strict=True))
        for number, (stream, lines) in enumerate(batches):
            if number in victims:
                stack.kill(victims[number])
            await send_until_acknowledged(http, f"{profile.url('ingest')}/v1/streams/{stream}/records", lines)
        await alerts.all_of(planted)
    assert alerts.found == planted.signals()
    assert len(alerts.ids) == len(planted.signals()) > 200
