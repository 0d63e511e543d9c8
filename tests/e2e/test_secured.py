"""The whole product on servers with TLS and passwords: Kafka, Valkey as a cluster of three, SecantusDB."""

import asyncio
import json
import os
import secrets
import sys
import threading
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from localstack.secured import SecuredProfile
from localstack.services import SERVICES
from localstack.testing import running_secured_servers

pytestmark = pytest.mark.long

WITHIN_S = 120


@dataclass(frozen=True)
class Product:
    """Every service as `twinstream up` starts it, told of secured servers."""

    profile: SecuredProfile
    http: httpx.AsyncClient

    async def call(self, method: str, url: str, **more: Any) -> Any:
        answer = await self.http.request(method, url, **more)
        assert answer.is_success, answer.text
        return answer.json()

    async def ask(self, method: str, path: str, **more: Any) -> Any:
        return await self.call(method, f"{self.profile.url('query_api')}{path}", **more)

    async def send(self, stream: str, **record: Any) -> str:
        """The receipt."""
        url = f"{self.profile.url('ingest')}/v1/streams/{stream}/records"
        headers = {"Idempotency-Key": secrets.token_hex(8)}
        return str((await self.call("POST", url, json=record, headers=headers))["receipt"])


async def command(profile: SecuredProfile, *arguments: str, ends: Sequence[int] = (0,)) -> str:
    """What a command of ours said, which must end well."""
    environment = {**os.environ, **profile.environment(), "TWINSTREAM_HOME": str(profile.home)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "twinstream", *arguments), env=environment, stdout=PIPE, stderr=STDOUT
    )
    async with asyncio.timeout(WITHIN_S):
        said, _ = await process.communicate()
    assert process.returncode in ends, said.decode()
    return said.decode()


@pytest_asyncio.fixture(scope="module")
async def product(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Product]:
    """Topics and the first key made by the command, then every service."""
    async with running_secured_servers(tmp_path_factory.mktemp("secured")) as (stack, profile):
        await command(profile, "init", "--partitions", "2", "--key-file", str(profile.key_file))
        lake = [name for name in SERVICES if name.startswith("lake")]
        await stack.start_services([name for name in SERVICES if name not in lake])
        await stack.start_services(lake)  # which stand back behind all others, and would wait for them for long
        key = profile.key_file.read_text(encoding="ascii").strip()
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}, timeout=WITHIN_S) as http:
            yield Product(profile, http)


@pytest.fixture
def receiver() -> Iterator[Any]:
    """Keeps what it is sent; that messages are signed is shown elsewhere."""

    class Keeping(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            server.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Keeping)
    server.messages = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


async def test_a_record_is_found_counted_and_told_of(product: Product, receiver: Any) -> None:
    """From ingest through the log to MongoDB, to every node of the cluster, and to a webhook."""
    word = f"zebra{secrets.token_hex(4)}"
    target = {"name": "ops", "kind": "webhook", "url": f"http://127.0.0.1:{receiver.server_port}/"}
    await product.ask("POST", "/v1/destinations", json=target)
    await product.ask("POST", "/v1/rules", json={"name": "signal", "keywords": [word], "destinations": ["ops"]})
    await product.send("a", unique_identifier="a-1", number=1, text="parent")
    ids = [f"b-{n}" for n in range(40)]
    receipts = [
        await product.send("b", unique_identifier=id_, Stream_A_unique_identifier="a-1", number=n, text="plain")
        for n, id_ in enumerate(ids)
    ]
    async with asyncio.timeout(WITHIN_S):
        attempt = 0
        while not receiver.messages:  # the scanner may not know the rule yet: what comes later is found
            attempt += 1
            last = {"Stream_A_unique_identifier": "a-1", "number": 1, "text": f"{word} {attempt}"}
            receipts.append(await product.send("b", unique_identifier="b-told", **last))
            await asyncio.sleep(0.5)
    assert receiver.messages[0]["data"]["alerts"][0]["record"]["unique_identifier"] == "b-told"
    for receipt in receipts:  # each of its partition
        waiting = {"wait_for": receipt, "timeout_ms": 30_000}
        counted = await product.ask("GET", "/v1/counts/b", params={**waiting, "hours": 1, "a_id": "a-1"})
        found = await product.ask("GET", "/v1/a/a-1/b", params={**waiting, "limit": 100})
    assert {item["unique_identifier"] for item in found["items"]} == {*ids, "b-told"}
    assert counted["count"] == len(ids) + 1


async def test_windows_lie_on_every_node(product: Product) -> None:
    """Or the test before would not have shown a cluster."""
    profile = product.profile
    held = []
    for number in range(3):
        port = profile.ports[f"redis_node_{number}"]
        async with Redis(host="127.0.0.1", port=port, password=profile.password) as node:
            held.append(await node.dbsize())
    assert min(held) > 0


async def test_what_runs_beside_the_services_is_let_in_too(product: Product) -> None:
    """A backtest, a question to the lake, an audit, a backup, rebuilds: each a process with clients of its own."""
    tested = await product.ask("POST", "/v1/rules/signal/backtest", json={"hours": 1})
    assert tested["hits"] > 0
    job = await product.ask("POST", "/v1/analytics/queries", json={"sql": "select 1 as one", "format": "json"})
    async with asyncio.timeout(WITHIN_S):  # taken, that is: from there on it works on files, behind everything else
        while (job := await product.ask("GET", f"/v1/analytics/queries/{job['id']}"))["state"] == "queued":
            await asyncio.sleep(0.1)
    # 3: not all could be compared, for a store was behind the log. Who is not let in ends with 78.
    await command(product.profile, "audit", "aggregates", ends=(0, 3))
    kept = product.profile.home / "kept.ndjson"
    assert "of alerts" in await command(product.profile, "backup", str(kept))
    rebuilt = ("documents", "aggregates")
    await asyncio.gather(*(command(product.profile, "rebuild", what) for what in rebuilt))
    found = await product.ask("GET", "/v1/b/b-1")
    assert found["text"] == "plain"


def test_no_password_is_in_a_log(product: Product) -> None:
    """Of any process of ours, whatever it met; the servers' own are theirs."""
    logs = {path.stem: path for path in product.profile.logs.glob("*.log")}
    ours = {name.replace("_", "-") for name in SERVICES}
    assert ours <= set(logs)
    assert [name for name in ours if product.profile.password in logs[name].read_text()] == []
