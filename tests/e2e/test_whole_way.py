"""A record's way through everything: from a request over HTTP, through Kafka and MongoDB, to an answer."""

import asyncio
import json
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from common.receipts import encode_receipt

if TYPE_CHECKING:
    from pathlib import Path


ROUTE = 'route="/v1/streams/b/records",service="ingest"'


def of_a_worker(name: str, operation: str) -> set[str]:
    return {
        f'records_applied_total{{outcome="applied",service="{name}",stream="b"}}',
        f'apply_batch_records_count{{service="{name}"}}',
        f'store_seconds_count{{operation="{operation}",service="{name}"}}',
        f'record_age_seconds_bucket{{le="0.01",service="{name}",stream="b"}}',
        f'consumer_lag{{partition="0",service="{name}",topic="records.b"}}',
    }


METRICS = {
    "ingest": {
        f'http_requests_total{{method="POST",{ROUTE},status="202"}}',
        f"http_request_seconds_count{{{ROUTE}}}",
        'ingest_records_total{outcome="accepted",stream="b"}',
        'ingest_batch_records_count{stream="b"}',
        'publish_seconds_count{topic="records.b"}',
    },
    "documents": of_a_worker("documents", "upsert"),
    "aggregates": of_a_worker("aggregates", "apply"),
    "query_api": {'store_seconds_count{operation="count",service="query-api"}', "control_offset"},
}


def new_id(prefix: str) -> str:
    return f"{prefix}/{secrets.token_hex(6)} é"


async def test_what_is_sent_is_found(client: Any) -> None:
    """An A and its B are found by their ids, and the B by its A, moments after they were acknowledged."""
    a, b = new_id("a"), new_id("b")
    sent_a = await client.send("a", {"unique_identifier": a, "number": 1, "text": "parent"})
    sent_b = await client.send(
        "b", [{"unique_identifier": b, "Stream_A_unique_identifier": a, "number": 2.5, "text": "child"}]
    )
    assert (sent_a.status_code, sent_b.status_code) == (202, 202)
    assert (await client.found("a", a))["text"] == "parent"
    assert (await client.found("b", b))["number"] == 2.5
    children = await client.http.get(f"{client.product.query_url}/v1/a/{a.replace('/', '%2F')}/b")
    assert [child["unique_identifier"] for child in children.json()["items"]] == [b]


async def test_the_newest_version_wins_whatever_its_order(client: Any) -> None:
    """A version with an older event time that arrives later changes nothing but when the record was first seen."""
    b = new_id("b")
    record = {"unique_identifier": b, "Stream_A_unique_identifier": "p", "number": 0, "text": ""}
    await client.send("b", record | {"text": "new", "event_time": "2026-11-02T00:00:00Z"})
    await client.send("b", record | {"text": "old", "event_time": "2026-11-01T00:00:00Z"})
    found = await client.found("b", b, first_seen="2026-11-01T00:00:00.000Z")
    assert (found["text"], found["event_time"]) == ("new", "2026-11-02T00:00:00.000Z")


async def test_a_trace_runs_from_the_request_to_the_last_log_line(client: Any) -> None:
    """One trace id stands in the answer, in ingest's log and in those of the workers that stored and counted it."""
    b = new_id("b")
    answer = await client.send(
        "b", {"unique_identifier": b, "Stream_A_unique_identifier": "p", "number": 0, "text": ""}
    )
    trace = answer.headers["x-trace-id"]
    await client.found("b", b)
    logs: Path = client.product.stack.profile.logs
    async with asyncio.timeout(60):
        while not all(trace in (logs / f"{worker}.log").read_text() for worker in ("documents", "aggregates")):
            await asyncio.sleep(0.05)
    lines = [json.loads(line) for line in (logs / "ingest.log").read_text().splitlines() if trace in line]
    assert [line["event"] for line in lines] == ["request"]


async def test_metrics_tell_what_flows(client: Any) -> None:
    """Requests, records by outcome, batch sizes, a store's latency, lag and age, each on its process's own port."""
    b = new_id("b")
    record = {"unique_identifier": b, "Stream_A_unique_identifier": "p", "number": 0, "text": ""}
    sent = await client.send("b", record)
    await client.found("b", b)
    url, profile = client.product.query_url, client.product.stack.profile
    await client.http.get(
        f"{url}/v1/counts/b", params={"wait_for": sent.json()["receipt"], "timeout_ms": 30_000}, timeout=60
    )

    async def lacking(process: str, names: set[str]) -> set[str]:
        page = (await client.http.get(f"{profile.metrics_url(process)}/metrics")).text
        return {name for name in names if f"\ntwinstream_{name}" not in page}

    for process, names in METRICS.items():
        async with asyncio.timeout(60):
            while missing := await lacking(process, names):  # the lag is measured every two seconds
                await asyncio.sleep(0.1)
        assert missing == set()


async def test_a_killed_process_comes_back_and_nothing_is_lost(client: Any) -> None:
    """Records that were acknowledged while the worker was dead are stored once it is back."""
    stack = client.product.stack
    await stack.crash("documents")
    ids = [new_id("b") for _ in range(500)]
    records = [
        {"unique_identifier": b, "Stream_A_unique_identifier": "p", "number": 0, "text": "while away"} for b in ids
    ]
    assert (await client.send("b", records)).status_code == 202
    await stack.start("documents")
    for b in ids:
        assert (await client.found("b", b, within_s=60))["text"] == "while away"


async def test_a_receipt_reads_ones_own_write(client: Any) -> None:
    """With the receipt of a sending, the very next lookup has it, however far the worker was."""
    url = client.product.query_url
    for round_ in range(5):
        b = new_id("b")
        answer = await client.send(
            "b", {"unique_identifier": b, "Stream_A_unique_identifier": "own", "number": round_, "text": ""}
        )
        found = await client.http.post(
            f"{url}/v1/b/lookup",
            params={"wait_for": answer.json()["receipt"], "timeout_ms": 30_000},
            json={"ids": [b]},
        )
        assert [item["number"] for item in found.json()["items"]] == [round_]


async def test_a_receipt_reads_what_was_found_in_ones_own_write(client: Any) -> None:
    """Its alert is there in the first answer, once the rule is in force, and empty in the first after an erasure."""
    url, word, a_id = client.product.query_url, f"word{secrets.token_hex(6)}", new_id("a")
    assert (await client.http.post(f"{url}/v1/rules", json={"name": word, "keywords": [word]})).status_code == 201

    async def alerts_after(answer: httpx.Response) -> set[str]:
        params = {"rule": word, "wait_for": answer.json()["receipt"], "timeout_ms": 30_000}
        found = (await client.http.get(f"{url}/v1/alerts", params=params)).json()["items"]
        return {one["record"].get("unique_identifier") for one in found}

    async def send(b: str) -> httpx.Response:
        record = {"unique_identifier": b, "Stream_A_unique_identifier": a_id, "number": 0, "text": word}
        return await client.send("b", record)

    async with asyncio.timeout(60):
        while not await alerts_after(await send(new_id("b"))):
            pass
    b = new_id("b")
    assert b in await alerts_after(await send(b))
    found = await alerts_after(await client.http.delete(f"{url}/v1/b/{quote(b, safe='')}"))
    assert (b in found, None in found) == (False, True)


@pytest.mark.parametrize("path", ["a/x", "counts/a?hours=1", "rejected", "alerts", "deliveries"])
async def test_a_receipt_that_is_far_ahead_is_a_504(client: Any, path: str) -> None:
    """Who asks for what is not there yet is told how far the store is: on every read."""
    receipt = encode_receipt({("records.b", 0): 10**12})
    params = {**parse_qs(urlsplit(path).query), "wait_for": receipt, "timeout_ms": 100}
    answer = await client.http.get(f"{client.product.query_url}/v1/{urlsplit(path).path}", params=params)
    assert (answer.status_code, answer.json()["code"]) == (504, "not_yet")
    assert "the receipt at 1000000000000" in answer.json()["detail"]


async def test_every_trace_of_a_large_batch_has_its_last_line(client: Any) -> None:
    """However many requests a worker takes in at once, each is found in its log."""
    records = [
        {"unique_identifier": new_id("b"), "Stream_A_unique_identifier": "p", "number": 0, "text": ""}
        for _ in range(150)
    ]
    stack = client.product.stack
    await stack.crash("documents")
    answers = await asyncio.gather(*(client.send("b", record) for record in records))
    await stack.start("documents")
    await client.found("b", records[-1]["unique_identifier"], within_s=60)
    log = stack.profile.logs / "documents.log"
    async with asyncio.timeout(60):
        while missing := [a for a in answers if a.headers["x-trace-id"] not in log.read_text()]:
            await asyncio.sleep(0.1)
    assert missing == []


async def test_an_erased_id_is_gone_everywhere_and_may_come_again(client) -> None:
    """Its document, its place among the B of an A, its counts, and what was rejected under it; what follows is new."""
    a_id, b_id = f"a-{secrets.token_hex(6)}", f"b-{secrets.token_hex(6)}"
    record = {"unique_identifier": b_id, "Stream_A_unique_identifier": a_id, "number": 1, "text": "personal"}
    await client.send("b", record)
    refused = await client.send("b", {**record, "number": "personal"})
    await client.found("b", b_id)
    assert await rejected_of(client, b_id, refused) == 1
    late = await client.send("b", {**record, "number": "still on its way"})
    erased = await client.http.delete(f"{client.product.query_url}/v1/b/{b_id}")
    assert (erased.status_code, erased.json()["unique_identifier"]) == (202, b_id)
    waiting = {"wait_for": erased.json()["receipt"], "timeout_ms": 30_000}
    answer = await client.http.get(f"{client.product.query_url}/v1/b/{b_id}", params=waiting)
    assert answer.status_code == 404
    children = await client.http.get(f"{client.product.query_url}/v1/a/{a_id}/b", params=waiting)
    assert children.json()["items"] == []
    count = await client.http.get(
        f"{client.product.query_url}/v1/counts/b", params={**waiting, "a_id": a_id, "hours": 1}
    )
    assert count.json()["count"] == 0
    assert await rejected_of(client, b_id, late, erased) == 0
    await client.send("b", {**record, "text": "anew"})
    found = await client.found("b", b_id)
    assert (found["text"], found["first_seen"]) == ("anew", found["event_time"])


async def rejected_of(client, record_id: str, *answers: httpx.Response) -> int:
    """How many are rejected under an id once all that these answers speak of is taken in."""
    for answer in answers:
        params = {"stream": "b", "wait_for": answer.json()["receipt"], "timeout_ms": 30_000}
        page = await client.http.get(f"{client.product.query_url}/v1/rejected", params=params)
    return sum(one["record_id"] == record_id for one in page.json()["items"])
