"""What the spine is measured with: records with texts of 200 characters out of made-up words, the same in every run."""

from collections.abc import Iterator, Sequence
from random import Random

import msgspec
from matching_workload import SOUNDS, Language

from common.clock import SystemClock
from common.contracts import RecordB
from common.kafka.producer import Message

TEXTS = 2_000
PER_A = 10


def texts(count: int = TEXTS) -> Sequence[str]:
    language = Language(SOUNDS["ascii"], seed=1)
    return [language.text("") for _ in range(count)]


def bodies(count: int, *, ids: int | None = None, seed: int = 1) -> Iterator[bytes]:
    """Records of stream B as a client sends them, one JSON each; `ids`: among how many ids they are."""
    chance, said = Random(seed), texts()
    for _ in range(count):
        record_id = chance.randrange(ids or 10**9)
        record = {
            "unique_identifier": f"b-{record_id:09}",
            "Stream_A_unique_identifier": f"a-{record_id // PER_A:08}",
            "number": round(chance.random() * 1000, 2),
            "text": chance.choice(said),
        }
        yield msgspec.json.encode(record)


def batches(count: int, size: int, *, ids: int | None = None, seed: int = 1) -> list[bytes]:
    """`count` records as NDJSON, `size` to a body."""
    made = list(bodies(count, ids=ids, seed=seed))
    return [b"\n".join(made[start : start + size]) for start in range(0, count, size)]


def messages(count: int, *, ids: int | None = None, seed: int = 1) -> list[Message]:
    """The same records as they stand in the log."""
    now_us = SystemClock().now_us()
    return [_message(raw, now_us + n) for n, raw in enumerate(bodies(count, ids=ids, seed=seed))]


def _message(raw: bytes, now_us: int) -> Message:
    fields = msgspec.json.decode(raw) | {"event_time": now_us // 1000, "ingested_at": now_us}
    record = msgspec.convert(fields, RecordB)
    return Message(record.id.encode(), msgspec.json.encode(record), now_us // 1000)
