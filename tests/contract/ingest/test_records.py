"""What becomes of good records, and of good and bad ones in one request."""

import gzip
import json
import time
from typing import Any

import pytest
import zstandard

from common import metrics
from common.contracts import partition_of
from common.kafka.rejections import read_rejection
from common.receipts import decode_receipt

A = {"unique_identifier": "a-1", "number": 1, "text": "one"}
B = {"unique_identifier": "b-1", "Stream_A_unique_identifier": 7, "number": 2.5, "text": "", "event_time": 946684800001}
TRACE = "0af7651916cd43dd8448eb211c80319c"


def ndjson(*records: Any) -> bytes:
    return b"\n".join(record if isinstance(record, bytes) else json.dumps(record).encode() for record in records)


async def added(service, topic: str, before: int) -> list[Any]:
    """What is new in `topic` since it held `before` messages, in the order of ingestion."""
    found = [one for one in await service.log_of(topic) if one.value is not None]
    assert len(found) >= before
    return sorted(found, key=lambda one: json.loads(one.value)["ingested_at"])[before:]


@pytest.mark.parametrize(
    ("content_type", "encoding", "body"),
    [
        ("application/json", "identity", json.dumps(A).encode()),
        ("application/json", "gzip", gzip.compress(json.dumps([A]).encode(), mtime=0)),
        ("application/json; charset=utf-8", "zstd", zstandard.compress(json.dumps(A).encode())),
        ("application/x-ndjson", "identity", ndjson(A) + b"\n"),
        ("application/ndjson", "gzip", gzip.compress(ndjson(A), mtime=0)),
        ("application/jsonlines", "zstd", zstandard.compress(b"\n\n" + ndjson(A))),
    ],
)
async def test_a_record_arrives_in_the_log_in_whatever_form_it_came(service, content_type, encoding, body) -> None:
    """An object, an array and a line are the same record, compressed or not."""
    before = len(await service.log_of("records.a"))
    answer = await service.send("a", body, content_type, content_encoding=encoding)
    assert answer.status_code == 202
    assert answer.json() | {"receipt": ""} == {"accepted": 1, "rejected": 0, "receipt": "", "errors": []}
    (message,) = await added(service, "records.a", before)
    assert message.key == b"a-1"
    stored = json.loads(message.value)
    now_ms = time.time() * 1000
    assert now_ms - 10_000 < stored["event_time"] <= now_ms
    assert stored["ingested_at"] // 1000 == stored["event_time"] == message.timestamp
    assert stored | {"event_time": 0, "ingested_at": 0} == A | {"event_time": 0, "ingested_at": 0}
    assert b'"number":1.0' in message.value


async def test_a_b_record_keeps_its_parent_and_event_time(service) -> None:
    """An integer id is its decimal string from here on; Kafka's own timestamp is the moment of ingestion."""
    before = len(await service.log_of("records.b"))
    assert (await service.send("b", json.dumps(B).encode(), "application/json")).status_code == 202
    (message,) = await added(service, "records.b", before)
    stored = json.loads(message.value)
    assert stored["Stream_A_unique_identifier"] == "7"
    assert stored["event_time"] == 946684800001
    assert message.timestamp == stored["ingested_at"] // 1000 > 1_700_000_000_000


async def test_a_batch_keeps_its_order_and_one_id_its_partition(service) -> None:
    """Versions of one id are read in the order in which they were sent, also when a batch fills several of Kafka's."""
    before = len(await service.log_of("records.b"))
    records = [B | {"unique_identifier": f"x-{n % 37}", "number": n, "text": "t" * 500} for n in range(5_000)]
    answer = await service.send("b", ndjson(*records))
    assert (answer.status_code, answer.json()["accepted"]) == (202, 5_000)
    messages = await added(service, "records.b", before)
    assert [json.loads(one.value)["number"] for one in messages] == list(range(5_000))
    assert all(one.partition == partition_of(one.key, 4) for one in messages)
    for partition in range(4):
        offsets = [one.offset for one in messages if one.partition == partition]
        assert offsets == sorted(offsets)


async def test_ingested_at_strictly_increases_across_requests(service) -> None:
    """Of two versions with equal event times, the one sent later wins."""
    for _ in range(3):
        await service.send("a", ndjson(*[A] * 50))
    stamps = [json.loads(one.value)["ingested_at"] for one in await added(service, "records.a", 0)]
    assert len(set(stamps)) == len(stamps)


@pytest.mark.parametrize("count", [3, 300])
async def test_the_receipt_names_the_last_offset_of_each_partition(service, count: int) -> None:
    """Few records and many, which are written by two different ways, give the same kind of receipt."""
    records = [A | {"unique_identifier": f"r-{n}"} for n in range(count)]
    offsets = decode_receipt((await service.send("a", ndjson(*records))).json()["receipt"])
    log = await service.log_of("records.a")
    of_batch = {one.key: one for one in log if one.key in {r["unique_identifier"].encode() for r in records}}
    expected: dict[tuple[str, int], int] = {}
    for one in of_batch.values():
        at = ("records.a", one.partition)
        expected[at] = max(one.offset, expected.get(at, -1))
    assert offsets == expected


async def test_the_trace_of_the_request_travels_with_its_records(service) -> None:
    """One trace id leads from the caller through the answer to the message."""
    before = len(await service.log_of("records.a"))
    answer = await service.send("a", ndjson(A), traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
    assert answer.headers["x-trace-id"] == TRACE
    (message,) = await added(service, "records.a", before)
    assert dict(message.headers)["traceparent"].decode().split("-")[1] == TRACE


async def test_of_a_mixed_batch_the_good_are_taken_and_the_bad_named_in_order(service) -> None:
    """One error per refused record, by its index and line; what was refused is put aside byte for byte."""
    before, aside_before = len(await service.log_of("records.a")), len(await service.log_of("records.rejected"))
    bad_text, broken = json.dumps(A | {"text": 5}).encode(), b'{"unique_identifier": '
    body = b"\n" + ndjson(A, bad_text, broken, b"", A | {"text": "two"})
    answer = await service.send("a", body, traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
    assert answer.status_code == 207
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (2, 2)
    assert answer.json()["errors"] == [
        {
            "index": 1,
            "line": 3,
            "field": "text",
            "code": "wrong_type",
            "detail": "text is a number (5): it must be a string.",
        },
        {
            "index": 2,
            "line": 4,
            "code": "record_not_json",
            "detail": r'The record is not JSON: expecting value at byte 22, near "ntifier\": ".',
        },
    ]
    assert [json.loads(one.value)["text"] for one in await added(service, "records.a", before)] == ["one", "two"]
    # A key is trace-span/index: the trace is the caller's, the span this request's own.
    aside = {(one.key[:32].decode(), one.key[49:].decode()): one for one in await service.log_of("records.rejected")}
    assert len(aside) == aside_before + 2
    for index, raw, code in ((1, bad_text, "wrong_type"), (2, broken, "record_not_json")):
        message = aside[TRACE, f"/{index}"]
        assert message.value == raw
        why = read_rejection(message.headers)
        assert why is not None
        assert (why.code, why.stream, why.rejected_by, why.size, why.truncated) == (
            code,
            "a",
            "ingest",
            len(raw),
            False,
        )
        assert why.source == message.key.decode()
        assert why.detail == next(e["detail"] for e in answer.json()["errors"] if e["index"] == index)


async def test_a_record_that_is_too_large_is_put_aside_cut(service) -> None:
    """What is kept of it fits into Kafka, and says that it is not all."""
    before = {one.key for one in await service.log_of("records.rejected")}
    body = json.dumps(A | {"text": "x" * 3_000_000}).encode()
    answer = await service.send("a", body, "application/json")
    assert answer.json()["errors"][0]["code"] == "record_too_large"
    (message,) = [one for one in await service.log_of("records.rejected") if one.key not in before]
    why = read_rejection(message.headers)
    assert why is not None
    assert (len(message.value), why.size, why.truncated) == (512 * 1024, len(body), True)


async def test_the_longest_valid_record_fits(service) -> None:
    """64 KiB of characters that JSON must escape, under ids of 256 four-byte characters."""
    record = B | {"unique_identifier": "😀" * 256, "Stream_A_unique_identifier": "😀" * 256, "text": "\x01" * 65_536}
    answer = await service.send("b", ndjson(*[record] * 20))
    assert (answer.status_code, answer.json()["accepted"]) == (202, 20)


async def test_records_are_counted_by_stream_and_outcome(service) -> None:
    """The counters follow the answers."""

    def counts() -> list[float]:
        return [metrics.INGESTED.labels("b", outcome)._value.get() for outcome in ("accepted", "rejected")]

    accepted, rejected = counts()
    await service.send("b", ndjson(B, B, b"x"))
    assert counts() == [accepted + 2, rejected + 1]
