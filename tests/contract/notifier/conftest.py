"""A notifier at work on the real servers: destinations in control, alerts in the log, a receiver on this machine."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import pytest_asyncio
from aiohttp import web
from pymongo import AsyncMongoClient
from standardwebhooks import Webhook

from common.alerts import Alert, Erasure, Severity, Span, StoredAlert, erasure_keys
from common.clock import Clock, ManualClock, SystemClock
from common.concurrency import all_of
from common.contracts import ALERTS, Collections, ControlKind, RecordB, Stream
from common.deliveries import Delivery
from common.destinations import Destination, DestinationKind, Silence
from common.health import Health
from common.kafka.control import ControlTable
from common.kafka.producer import Message, Producer
from common.sealing import Seal
from common.settings import KafkaSettings, MongoSettings
from signals.notifier.settings import NotifierSettings
from signals.notifier.wiring import assembled

if TYPE_CHECKING:
    from pymongo.asynchronous.database import AsyncDatabase

SECRET = "ab" * 32
SIGNING = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """A webhook's receiver: it verifies messages with the library that receivers use, and answers as it is told."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []  # verified ones
        self.unverified = 0
        self.answer: Callable[[dict[str, Any]], Awaitable[web.StreamResponse] | web.StreamResponse] | None = None
        self.secrets = [SIGNING]
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        content = await request.read()
        for secret in self.secrets:
            try:
                body = Webhook(secret).verify(content, dict(request.headers))
            except Exception:  # noqa: BLE001  # the library raises several
                self.unverified += 1
                return web.Response(status=401)
        told = {"id": request.headers["webhook-id"], "at": request.headers["webhook-timestamp"]}
        message = {**told, "to": request.query_string, **body}
        self.messages.append(message)
        if self.answer is None:
            return web.Response(text="thank you")
        answer = self.answer(message)
        return answer if isinstance(answer, web.StreamResponse) else await answer

    @property
    def alerts(self) -> list[str]:
        """The ids of the records that were told of, in the order of arrival, repetitions included."""
        return [
            alert["record"]["unique_identifier"] for message in self.messages for alert in message["data"]["alerts"]
        ]


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver, app = Receiver(), web.Application()
    app.router.add_post("/hook", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield receiver
    await runner.cleanup()


class Bench:
    """What a notifier is given, and what it wrote."""

    def __init__(self, settings: NotifierSettings, producer: Producer, control: ControlTable, database: Any) -> None:
        self.settings = settings
        self.producer = producer
        self.control = control
        self.database: AsyncDatabase[dict[str, Any]] = database
        self._seal = Seal(settings.secret_bytes)

    async def destination(self, name: str, secret: str = SIGNING, **fields: Any) -> int:
        """Make or change a destination; its version."""
        known = {"kind": DestinationKind.WEBHOOK, "created_at": 0, "changed_at": 0}
        fields = {**known, **fields, "secret": self._seal.seal(name, secret)}
        if "former_secret" in fields:
            fields["former_secret"] = self._seal.seal(name, fields["former_secret"])
        return await self.control.put(ControlKind.DESTINATION, name, Destination(name=name, **fields))

    async def silence(self, **fields: Any) -> None:
        known = {"id": "s1", "starts_at": 0, "ends_at": 2**52, "created_at": 0}
        silence = Silence(**{**known, **fields})
        await self.control.put(ControlKind.SILENCE, silence.id, silence)

    async def raise_(self, *alerts: Alert) -> None:
        """Write alerts into the log, as the scanner does."""
        await self.producer.publish(
            ALERTS, [Message(alert.id.encode(), msgspec.json.encode(alert), alert.raised_at) for alert in alerts]
        )

    async def erase(self, record_id: str, offset: int, stream: Stream = Stream.B) -> None:
        """Write into the log that an id was erased, as the scanner does."""
        erasure = msgspec.json.encode(Erasure(stream=stream, record_id=record_id, offset=offset))
        keys = erasure_keys(await self.producer.partitions(ALERTS))
        await self.producer.publish(ALERTS, [Message(key, erasure, 1) for key in keys])

    async def alert(self, id_: str) -> StoredAlert:
        return msgspec.convert(await self.database[Collections.ALERTS].find_one({"_id": id_}), StoredAlert)

    async def deliveries(self, **fields: Any) -> list[Delivery]:
        found = await self.database[Collections.DELIVERIES].find(fields).sort([("created_at", 1), ("_id", 1)]).to_list()
        return msgspec.convert(found, list[Delivery])

    async def until(self, holds: Callable[[], object], within_s: float = 60.0) -> None:
        """Wait until `holds()`, or what it awaits, is true."""
        async with asyncio.timeout(within_s):
            while True:
                found = holds()
                if await found if isinstance(found, Awaitable) else found:
                    return
                await asyncio.sleep(0.01)

    async def no_destination(self, name: str) -> None:
        await self.control.put(ControlKind.DESTINATION, name, None)

    async def count(self, state: str, count: int) -> bool:
        return (await self.states()).count(state) == count

    async def hits_are(self, rule: str, hits: int) -> bool:
        found = await self.database[Collections.RULE_HITS].find({"rule": rule}).to_list()
        return sum(one["hits"] for one in found) == hits

    async def until_health(self, name: str, *, failures: int) -> dict[str, Any]:
        """How a destination does, once it has failed so often in a row."""
        async with asyncio.timeout(60):
            while True:
                found = await self.database[Collections.DESTINATIONS].find_one({"_id": name})
                if found is not None and found["failures"] == failures:
                    return found
                await asyncio.sleep(0.01)

    async def states(self) -> list[str]:
        found = await self.database[Collections.DELIVERIES].find({}, {"state": 1}).to_list()
        return [one["state"] for one in found]


@pytest.fixture
def notifier_settings(fresh_kafka: KafkaSettings, fresh_mongo: MongoSettings) -> NotifierSettings:
    return NotifierSettings(
        **{
            **fresh_kafka.model_dump(),
            **fresh_mongo.model_dump(),
            "secret": SECRET,
            "webhook_allow_loopback": True,
            "notifier_poll_ms": 50,
            "send_timeout_ms": 2_000,
        }
    )


@pytest_asyncio.fixture
async def bench(notifier_settings: NotifierSettings) -> AsyncIterator[Bench]:
    producer = Producer(notifier_settings)
    await producer.start()
    control = ControlTable(notifier_settings, producer, SystemClock())
    await control.start()
    async with AsyncMongoClient[dict[str, Any]](
        notifier_settings.mongo_uri.get_secret_value(), tz_aware=True
    ) as client:
        yield Bench(notifier_settings, producer, control, client[notifier_settings.mongo_database])
    await control.stop()
    await producer.stop()


@pytest.fixture
def notifying(bench: Bench) -> Callable[..., Any]:
    """A notifier that works within the block; it gives its health."""

    @asynccontextmanager
    async def notifying(clock: Clock | None = None, **settings: Any) -> AsyncIterator[Health]:
        health, stop = Health(), asyncio.Event()
        wanted = NotifierSettings(**{**bench.settings.model_dump(), **settings})
        async with assembled(wanted, health, clock or SystemClock(), stop) as parts:
            work = asyncio.ensure_future(all_of([part.run(stop) for part in parts]))
            try:
                await bench.until(lambda: not health.problems() or work.done())
                yield health
            finally:
                stop.set()
                await asyncio.wait_for(work, 30)

    return notifying


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    """A clock that the test moves; receivers live by it too, for they refuse what was signed at another hour."""
    clock = ManualClock(SystemClock().now_ms())

    class Told(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.fromtimestamp(clock.now_ms() / 1000, tz)

    monkeypatch.setattr("standardwebhooks.webhooks.datetime", Told)
    return clock


@pytest.fixture
def an_alert() -> Callable[..., Alert]:
    """An alert of which only what is said matters."""

    def an_alert(record_id: str = "", **fields: Any) -> Alert:
        now_ms = SystemClock().now_ms()
        record_id = record_id or f"b-{secrets.token_hex(4)}"
        text = fields.pop("text", "A refund, please.")
        record = RecordB(
            id=record_id,
            a_id=fields.pop("a_id", "a-1"),
            number=1.0,
            text=text,
            event_time=fields.pop("event_time", now_ms),
            ingested_at=now_ms * 1000,
        )
        known = {
            "id": secrets.token_hex(16),
            "rule": "refunds",
            "rule_version": 7,
            "match_revision": "r",
            "severity": Severity.WARNING,
            "stream": Stream.B,
            "record": msgspec.Raw(msgspec.json.encode(record)),
            "matches": (Span("text", 2, 8, "refund", "refund"),),
            "destinations": ("ops",),
            "cooldown_seconds": 0,
            "group_seconds": 0,
            "raised_at": now_ms,
        }
        return Alert(**{**known, **fields})

    return an_alert
