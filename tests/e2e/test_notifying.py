"""From a record sent over HTTP to a signed message at its receiver, with every process as `twinstream up` starts it."""

import asyncio
import json
import os
import runpy
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio
from aiohttp import web

from localstack.free_ports import free_port

WITHIN_S = 60
SEVERAL = 3
SLACK_PACE_S = 1.05  # a channel has one message a second: the next one is not held up by the one before
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest_asyncio.fixture
async def slack() -> AsyncIterator[Any]:
    """The stand-in out of examples/, and when it took which message."""
    stand_in = runpy.run_path(str(EXAMPLES / "slack_stand_in.py"))["SlackStandIn"](interval_s=0.0)
    stand_in.taken = []
    stand_in.accept = lambda body: stand_in.taken.append((time.time(), json.dumps(body)))
    runner = web.AppRunner(stand_in.app(), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stand_in.url = f"http://127.0.0.1:{runner.addresses[0][1]}/services/T/B/x"
    yield stand_in
    await runner.cleanup()


class Shop:
    """A rule and its destination, of names that no other test has."""

    def __init__(self, client: Any, receiver: Any) -> None:
        self.client = client
        self.receiver = receiver
        self.destinations = list[str]()
        self.name = f"shop-{secrets.token_hex(4)}"
        self.word = f"zebra{secrets.token_hex(4)}"

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.client.http.request(method, f"{self.client.product.query_url}{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def open(self, **rule: Any) -> None:
        await self.open_destination(self.receiver.url)
        await self.open_rule(**rule)

    async def open_destination(self, url: str) -> None:
        self.receiver.secret = (await self.destination(self.name, kind="webhook", url=url))["secret"]

    async def open_rule(self, **rule: Any) -> None:
        """Make the rule; returns once the scanner goes by it."""
        fields = {"name": self.name, "keywords": [self.word], "destinations": self.destinations, **rule}
        made = await self.call("POST", "/v1/rules", fields)
        await self.client.product.stack.rules_in_force(made["version"])

    async def destination(self, name: str, **fields: Any) -> Any:
        self.destinations.append(name)
        return await self.call("POST", "/v1/destinations", {"name": name, **fields})

    async def send(self, record_id: str, text: str) -> None:
        record = {"unique_identifier": record_id, "Stream_A_unique_identifier": "p", "number": 1, "text": text}
        assert (await self.client.send("b", record)).status_code == 202

    async def found(self, until: Any) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not until():
                await asyncio.sleep(0.02)

    async def tried(self, state: str) -> Any:
        """A trial by hand, once it comes out so: what was changed just now is in force moments later."""
        async with asyncio.timeout(WITHIN_S):
            while (tried := await self.call("POST", f"/v1/destinations/{self.name}/test"))["state"] != state:
                pass
        return tried

    async def close(self) -> None:
        await self.call("DELETE", f"/v1/rules/{self.name}")
        for name in self.destinations:
            await self.call("DELETE", f"/v1/destinations/{name}")


@pytest_asyncio.fixture
async def shop(client: Any, receiver: Any) -> AsyncIterator[Shop]:
    shop = Shop(client, receiver)
    yield shop
    await shop.close()


async def test_a_record_with_a_signal_is_told_of(shop: Shop) -> None:
    """Signed, with what matched; found again as an alert, acknowledged, resolved, and sent again by hand."""
    await shop.open(severity="critical")
    await shop.send(f"{shop.name}-1", f"a {shop.word} please")
    await shop.found(lambda: shop.receiver.messages)
    _, message_id, message = shop.receiver.messages[0]
    (told,) = message["data"]["alerts"]
    assert (message["type"], told["rule"], told["severity"]) == ("alert.fired", shop.name, "critical")
    assert told["matches"][0]["text"] == shop.word
    listed = await shop.call("GET", f"/v1/alerts?rule={shop.name}&severity=critical&a_id=p&state=open")
    assert [one["id"] for one in listed["items"]] == [told["id"]]
    path = f"/v1/alerts/{told['id']}"
    assert (await shop.call("POST", f"{path}/ack"))["state"] == "acknowledged"
    assert (await shop.call("POST", f"{path}/ack"))["acknowledged_by"] == "first key"
    resolved = await shop.call("POST", f"{path}/resolve")
    assert (resolved["state"], [one["destination"] for one in resolved["deliveries"]]) == ("resolved", [shop.name])
    counts = await shop.call("GET", "/v1/alerts/counts")
    assert {one["rule"]: (one["count"], one["hits"]) for one in counts["items"]}[shop.name] == (1, 1)
    again = await shop.call("POST", f"/v1/deliveries/{message_id}/redeliver")
    assert (again["state"], again["tries"]) == ("pending", 0)
    await shop.found(lambda: len(shop.receiver.messages) == 2)
    assert shop.receiver.messages[1][1] == message_id
    delivery = await shop.call("GET", f"/v1/deliveries/{message_id}")
    assert {one["status"] for one in delivery["attempts"]} == {204}


async def test_a_rule_made_in_one_request_is_told_of_within_a_second(shop: Shop, slack: Any) -> None:
    """Of the record: signed at a webhook, and at Slack's stand-in; of several records, at least every other one."""
    await shop.destination(f"{shop.name}-slack", kind="slack", url=slack.url)
    await shop.open()
    for name in shop.destinations:  # the notifier has them
        assert (await shop.call("POST", f"/v1/destinations/{name}/test"))["state"] == "delivered"
    took, deadline = list[tuple[float, float]](), time.monotonic() + 2 * WITHIN_S
    while len(took) < SEVERAL or max(map(statistics.median, zip(*took[-SEVERAL:], strict=True))) >= 1.0:
        assert time.monotonic() < deadline, took
        await asyncio.sleep(SLACK_PACE_S)
        took.append(await _told_in(shop, slack, f"{shop.name}-{len(took)}"))


async def _told_in(shop: Shop, slack: Any, record_id: str) -> tuple[float, float]:
    """How long after a record was sent the webhook's receiver and Slack had its alert, in seconds."""
    sent = time.time()
    await shop.send(record_id, f"the {shop.word} of {record_id}")

    def told() -> list[list[float]]:
        webhook = [at for at, _, message in shop.receiver.messages if record_id in json.dumps(message)]
        return [webhook, [at for at, message in slack.taken if record_id in message]]

    await shop.found(lambda: all(told()))
    webhook, in_slack = (moments[0] - sent for moments in told())
    return webhook, in_slack


async def test_the_same_text_again_tells_nobody(shop: Shop) -> None:
    """A changed one does; silences keep both back, and say so."""
    await shop.open()
    await shop.send(f"{shop.name}-1", shop.word)
    await shop.send(f"{shop.name}-1", shop.word)
    await shop.send(f"{shop.name}-1", f"{shop.word} changed")
    await shop.found(lambda: len(shop.receiver.messages) >= 2)
    silence = await shop.call("POST", "/v1/silences", {"rule": shop.name, "minutes": 5})
    await asyncio.to_thread(_until_silenced, shop)
    await shop.call("DELETE", f"/v1/silences/{silence['id']}")
    assert {one[2]["data"]["alerts"][0]["record"]["text"] for one in shop.receiver.messages} >= {
        shop.word,
        f"{shop.word} changed",
    }
    ids = [one[1] for one in shop.receiver.messages]
    assert len(set(ids)) == len(ids)


def _until_silenced(shop: Shop) -> None:
    """Send until a delivery was silenced: a silence is in force moments after it was made."""
    product = shop.client.product
    with httpx.Client(headers=product.headers, timeout=30) as http:
        deadline = time.monotonic() + WITHIN_S
        for n in range(10_000):
            record = {"unique_identifier": f"{shop.name}-s{n}", "Stream_A_unique_identifier": "p", "number": 1}
            http.post(f"{product.ingest_url}/v1/streams/b/records", json=record | {"text": f"{shop.word} {n}"})
            found = http.get(
                f"{product.query_url}/v1/deliveries", params={"destination": shop.name, "state": "silenced"}
            )
            if found.json()["items"]:
                return
            assert time.monotonic() < deadline
            time.sleep(0.05)


async def test_an_erased_record_is_gone_from_its_alert(shop: Shop) -> None:
    """That it was raised and told stays."""
    await shop.open()
    await shop.send(f"{shop.name}-1", f"my {shop.word}")
    await shop.found(lambda: shop.receiver.messages)
    (told,) = shop.receiver.messages[0][2]["data"]["alerts"]
    path = f"/v1/alerts/{told['id']}"
    assert (await shop.call("GET", path))["record"]["text"] == f"my {shop.word}"
    await shop.call("DELETE", f"/v1/b/{shop.name}-1")
    async with asyncio.timeout(WITHIN_S):
        while (await shop.call("GET", path))["erased_at"] is None:
            await asyncio.sleep(0.05)
    left = await shop.call("GET", path)
    assert (left["record"], left["matches"], left["rule"]) == ({}, [], shop.name)
    assert shop.word not in json.dumps(left).replace(shop.name, "")


async def test_a_destination_is_tried_by_hand(shop: Shop) -> None:
    """And what went wrong is told, without a retry."""
    await shop.open()
    tried = await shop.tried("delivered")
    assert tried["attempts"][0]["status"] == 204
    assert shop.receiver.messages[0][2]["type"] == "test"
    await shop.call("PUT", f"/v1/destinations/{shop.name}", {"url": "http://127.0.0.1:1/"})
    tried = await shop.tried("failed")
    assert "no connection" in tried["detail"]


async def test_the_command_and_the_example_show_alerts(shop: Shop, running: Any, tmp_path: Path) -> None:
    """A receiver out of examples/ shows a record's signal; `alerts tail` shows it live, the lists afterwards."""
    port = free_port()
    await shop.open_destination(f"http://127.0.0.1:{port}/")
    await shop.open_rule()
    receiver = _started([str(EXAMPLES / "receiver.py"), shop.receiver.secret, "--port", str(port)], {})
    environment = {
        "TWINSTREAM_URL": running.query_url,
        "TWINSTREAM_KEY": running.key,
        "TWINSTREAM_HOME": str(tmp_path),
    }
    tail = _started(["-m", "twinstream", "alerts", "tail", "--rule", shop.name, "--json"], environment)
    try:
        assert receiver.stdout is not None
        assert tail.stdout is not None
        assert tail.stderr is not None
        await asyncio.to_thread(receiver.stdout.readline)  # it listens
        await asyncio.to_thread(tail.stderr.readline)  # it follows
        await shop.send(f"{shop.name}-1", f"my {shop.word}!")
        shown = await asyncio.wait_for(asyncio.to_thread(receiver.stdout.readline), WITHIN_S)
        assert f"{shop.name}: '{shop.word}' in {shop.name}-1: my {shop.word}!" in shown.decode()
        live = await asyncio.wait_for(asyncio.to_thread(tail.stdout.readline), WITHIN_S)
        alert = json.loads(live)
        assert alert["record"]["unique_identifier"] == f"{shop.name}-1"
    finally:
        for process in (receiver, tail):
            process.kill()
            process.communicate()
    shown_ = await asyncio.to_thread(_run, ["alerts", "show", alert["id"], "--no-json"], environment)
    assert f"{shop.name} delivered" in shown_


def _started(arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603  # our own
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _run(arguments: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(  # noqa: S603  # our own
        [sys.executable, "-m", "twinstream", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
