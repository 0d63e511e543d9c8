"""What was rejected is listed, shown, mended and put into the log again: once."""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest
import pytest_asyncio

from common.clock import SystemClock
from common.contracts import RECORDS, Collections, Scope, StoredRejected, StoredReplay, Stream
from common.errors import TryLater
from common.kafka.batches import Entry, Partition
from common.kafka.producer import Producer
from common.kafka.replay import Replay
from common.receipts import decode_receipt
from query_api.rejected_store import RejectedStore
from query_api.replays import Replays
from query_api.settings import QueryApiSettings
from query_api.store import Store

REJECTED_MS = 1_790_000_000_000
BAD = b'{"unique_identifier": "b-1", "Stream_A_unique_identifier": "a-1", "number": "1", "text": ""}'
GOOD: dict[str, Any] = {"unique_identifier": "b-1", "Stream_A_unique_identifier": "a-1", "number": 1, "text": ""}

Reject = Callable[..., Awaitable[str]]


@pytest_asyncio.fixture
async def reject(database) -> AsyncIterator[Reject]:
    """Stores a rejected record as `documents` does; returns its id."""
    rejected = database[Collections.REJECTED]

    async def reject(id_: str, value: bytes = BAD, **fields: Any) -> str:
        about = {"stream": "b", "code": "wrong_type", "detail": "number is a string", "rejected_by": "ingest"}
        known = {**about, "rejected_at": REJECTED_MS, "size": len(value), "truncated": False, "record_id": "b-1"}
        stored = StoredRejected(id=id_, value=value, **{**known, **fields})
        await rejected.insert_one(msgspec.to_builtins(stored, builtin_types=(bytes,)))
        return id_

    yield reject
    await rejected.delete_many({})


@pytest_asyncio.fixture
async def sender(client_of, tokens) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(tokens[Scope.INGEST]) as client:
        yield client


@pytest_asyncio.fixture
async def log_of(settings: QueryApiSettings) -> AsyncIterator[Callable[[Stream], Awaitable[list[Entry]]]]:
    """Reads what stands in a stream's topic."""
    replay = Replay(settings)
    await replay.start()

    async def read(stream: Stream) -> list[Entry]:
        partition = Partition(RECORDS[stream], 0)
        start, end = await replay.bounds(partition)
        return list(await replay.read(partition, start, end - start)) if end > start else []

    yield read
    await replay.stop()


async def replayed(client: httpx.AsyncClient, *items: dict[str, Any], dry_run: bool = False) -> list[dict[str, Any]]:
    answer = await client.post("/v1/rejected/replay", json={"items": items, "dry_run": dry_run})
    assert answer.status_code == 200, answer.text
    assert answer.json()["dry_run"] is dry_run
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def listed(client: httpx.AsyncClient, **params: Any) -> dict[str, Any]:
    answer = await client.get("/v1/rejected", params=params)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def test_the_list_has_the_newest_first_page_by_page(reader, reject) -> None:
    """Ties by id; pages add up to the whole."""
    for n in range(7):
        await reject(f"r{n}/0", rejected_at=REJECTED_MS + n // 2)
    ids, cursor = [], None
    while True:
        page = await listed(reader, limit=2, **({} if cursor is None else {"cursor": cursor}))
        ids += [one["id"] for one in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert ids == ["r6/0", "r4/0", "r5/0", "r2/0", "r3/0", "r0/0", "r1/0"]


async def test_the_list_is_narrowed_by_stream_code_and_time(reader, reject) -> None:
    """All of them at once, too; `until` is not in it."""
    await reject("one/0", code="missing_field", rejected_at=REJECTED_MS)
    await reject("two/0", code="missing_field", stream="a", rejected_at=REJECTED_MS + 1)
    await reject("three/0", rejected_at=REJECTED_MS + 2)
    for params, ids in [
        ({"stream": "a"}, ["two/0"]),
        ({"code": "missing_field"}, ["two/0", "one/0"]),
        ({"since": REJECTED_MS + 1}, ["three/0", "two/0"]),
        ({"until": REJECTED_MS + 1}, ["one/0"]),
        ({"code": "missing_field", "stream": "b", "since": REJECTED_MS, "until": REJECTED_MS + 9}, ["one/0"]),
        ({"code": "unheard_of"}, []),
    ]:
        assert [one["id"] for one in (await listed(reader, **params))["items"]] == ids, params


async def test_a_cursor_goes_on_with_its_own_filters_only(reader, reject) -> None:
    """With others it would skip or repeat."""
    for n in range(3):
        await reject(f"r{n}/0")
    cursor = (await listed(reader, limit=1))["next_cursor"]
    answer = await reader.get("/v1/rejected", params={"cursor": cursor, "code": "wrong_type"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize("params", [{"since": "yesterday"}, {"until": "x"}, {"stream": "c"}, {"limit": 0}])
async def test_a_filter_that_does_not_fit_is_refused(reader, params) -> None:
    """And named."""
    answer = await reader.get("/v1/rejected", params=params)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_parameter")
    assert next(iter(params)) in answer.json()["detail"]


@pytest.mark.parametrize("value", [BAD, b"\xff\x00 no text"], ids=["text", "bytes"])
async def test_a_rejected_record_is_shown_with_its_bytes(reader, reject, value: bytes) -> None:
    """As text where they are text; the reason beside them."""
    id_ = await reject("records.b/0/7", value)
    shown = (await reader.get(f"/v1/rejected/{quote(id_, safe='')}")).json()
    assert b64decode(shown["base64"]) == value
    assert shown["text"] == (value.decode() if value is BAD else None)
    assert (shown["code"], shown["detail"], shown["record_id"]) == ("wrong_type", "number is a string", "b-1")
    assert shown["rejected_at"] == "2026-09-21T14:13:20.000Z"


async def test_what_was_not_rejected_is_not_found(reader) -> None:
    answer = await reader.get("/v1/rejected/records.b%2F0%2F99")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_dry_run_says_what_would_be_accepted_and_writes_nothing(sender, reader, reject, log_of) -> None:
    """By the rules of ingest, with its words; unless told otherwise, it is a dry run."""
    before = len(await log_of(Stream.B))
    await reject("bad/0")
    await reject("fine/0", json.dumps(GOOD).encode())
    answer = await sender.post("/v1/rejected/replay", json={"items": [{"id": "bad/0"}, {"id": "fine/0"}, {"id": "no"}]})
    bad, fine, unknown = answer.json()["items"]
    assert [bad["outcome"], fine["outcome"], unknown["outcome"]] == ["refused", "acceptable", "unknown"]
    assert bad["errors"][0]["code"] == "wrong_type"
    assert bad["errors"][0]["field"] == "number"
    assert len(await log_of(Stream.B)) == before
    assert (await listed(reader, code="wrong_type"))["items"][0]["replayed_at"] is None


async def test_a_mended_record_goes_into_the_log_once(sender, reader, reject, log_of) -> None:
    """A second time says so, when it was, and hands out the same receipt."""
    await reject("mend/0")
    item = {"id": "mend/0", "records": [{**GOOD, "text": "mended"}]}
    (first,) = await replayed(sender, item)
    (second,) = await replayed(sender, item)
    assert (first["outcome"], second["outcome"]) == ("replayed", "replayed_before")
    assert first["receipt"] == second["receipt"]
    written = [entry for entry in await log_of(Stream.B) if b"mended" in (entry.value or b"")]
    assert len(written) == 1
    assert decode_receipt(first["receipt"]) == {("records.b", 0): written[0].offset}
    shown = (await reader.get("/v1/rejected/mend%2F0")).json()
    assert shown["replayed_at"] == second["replayed_at"] is not None


async def test_what_names_no_time_gets_the_moment_of_its_rejection(sender, reject, log_of) -> None:
    """What its sender has sent since is newer, and must stay so."""
    await reject("time/0")
    records = [{**GOOD, "text": "silent"}, {**GOOD, "text": "telling", "event_time": REJECTED_MS + 5}]
    await replayed(sender, {"id": "time/0", "records": records})
    values = [msgspec.json.decode(entry.value) for entry in (await log_of(Stream.B))[-2:]]
    assert [value["event_time"] for value in values] == [REJECTED_MS, REJECTED_MS + 5]
    assert values[0]["ingested_at"] > REJECTED_MS * 1000


async def test_one_bad_record_keeps_out_all_that_go_in_the_same_place(sender, reject, log_of) -> None:
    """The others of the request go their way."""
    before = len(await log_of(Stream.B))
    await reject("two/0")
    await reject("other/0")
    refused, fine = await replayed(
        sender, {"id": "two/0", "records": [GOOD, {**GOOD, "text": 5}]}, {"id": "other/0", "records": [GOOD]}
    )
    assert (refused["outcome"], fine["outcome"]) == ("refused", "replayed")
    assert [(one["index"], one["code"]) for one in refused["errors"]] == [(1, "wrong_type")]
    assert len(await log_of(Stream.B)) == before + 1


async def test_what_a_worker_refused_goes_back_without_the_stamp_of_ingest(sender, reject, log_of) -> None:
    """In the log's form its own `ingested_at` would be an unknown field."""
    stored = {**GOOD, "number": 1.0, "event_time": REJECTED_MS, "ingested_at": 5}
    await reject("records.b/0/1", json.dumps(stored).encode(), rejected_by="documents", code="refused_by_store")
    (outcome,) = await replayed(sender, {"id": "records.b/0/1"})
    assert outcome["outcome"] == "replayed"
    value = msgspec.json.decode((await log_of(Stream.B))[-1].value)
    assert value.pop("ingested_at") > 5
    assert value == {name: one for name, one in stored.items() if name != "ingested_at"}


async def test_what_was_cut_can_only_be_replayed_mended(sender, reject) -> None:
    """Half a record is none."""
    await reject("cut/0", BAD[:40], size=5_000_000, truncated=True)
    (as_it_is,) = await replayed(sender, {"id": "cut/0"}, dry_run=True)
    (mended,) = await replayed(sender, {"id": "cut/0", "records": [GOOD]}, dry_run=True)
    assert (as_it_is["outcome"], as_it_is["errors"][0]["code"]) == ("refused", "truncated")
    assert mended["outcome"] == "acceptable"


async def test_of_two_requests_at_once_one_replays(sender, reject, log_of) -> None:
    """Many at the same time, and still once."""
    before = len(await log_of(Stream.B))
    await reject("race/0")
    item = {"id": "race/0", "records": [GOOD]}
    outcomes = [one["outcome"] for (one,) in await asyncio.gather(*(replayed(sender, item) for _ in range(8)))]
    assert outcomes.count("replayed") == 1
    assert set(outcomes) <= {"replayed", "in_flight", "replayed_before"}
    assert len(await log_of(Stream.B)) == before + 1


async def test_an_attempt_that_vanished_is_taken_over_with_its_versions(sender, reject, database) -> None:
    """It may have written them: the same once more changes no store."""
    await reject("gone/0", json.dumps(GOOD).encode())
    await replayed(sender, {"id": "gone/0"})
    done = await database[Collections.REJECTED].find_one({"_id": "gone/0"})
    vanished = {"replay.receipt": None, "replay.lease_until": 0}
    await database[Collections.REJECTED].update_one({"_id": "gone/0"}, {"$set": vanished})
    (again,) = await replayed(sender, {"id": "gone/0"})
    redone = await database[Collections.REJECTED].find_one({"_id": "gone/0"})
    assert again["outcome"] == "replayed"
    assert redone["replay"]["first_us"] == done["replay"]["first_us"]
    assert redone["replay"]["owner"] != done["replay"]["owner"]


async def test_a_replay_that_is_under_way_is_left_alone(sender, reject) -> None:
    lease = StoredReplay(owner="x", fingerprint="y", first_us=1, lease_until=2**52, by="k", at=1)
    await reject("busy/0", replay=lease)
    (outcome,) = await replayed(sender, {"id": "busy/0", "records": [GOOD]})
    assert (outcome["outcome"], outcome["receipt"]) == ("in_flight", None)


async def test_a_replay_that_kafka_did_not_take_may_be_asked_for_again(settings, reject, database, sender) -> None:
    """At once: the failed attempt gives its reservation back."""
    await reject("away/0", json.dumps(GOOD).encode())
    store, producer = Store(settings), Producer(settings.model_copy(update={"kafka_timeout_ms": 1000}))
    await producer.start()
    await producer.stop()
    replays = Replays(RejectedStore(store), producer, SystemClock(), max_record_bytes=1024)
    with pytest.raises(TryLater):
        await replays.replay({"away/0": None}, "k")
    await store.close()
    assert (await database[Collections.REJECTED].find_one({"_id": "away/0"}))["replay"]["lease_until"] == 0
    (again,) = await replayed(sender, {"id": "away/0"})
    assert again["outcome"] == "replayed"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"items": []}, "body.items: Expected `array` of length >= 1"),
        ({"items": [{"id": "x", "records": []}]}, "body.items[0].records: Expected `array` of length >= 1"),
        ({"items": [{"id": "x"}, {"id": "x"}]}, "body.items[1].id: 'x' stands there twice"),
        ({"items": [{"id": "x"}], "dryrun": False}, "unknown field `dryrun`"),
        ({"ids": ["x"]}, "unknown field `ids`"),
    ],
)
async def test_a_replay_that_cannot_be_meant_is_refused(sender, body, says) -> None:
    answer = await sender.post("/v1/rejected/replay", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_body")
    assert says in answer.json()["detail"]
